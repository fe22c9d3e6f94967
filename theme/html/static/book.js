// Menu, light and dark, copying code, the place on the page, and search. Pages read well without it.
'use strict';

const root = document.body.dataset.root;
const $ = (id) => document.getElementById(id);

// Menu, on narrow screens.
const menu = $('menu-button');
const setMenu = (open) => {
  document.body.classList.toggle('menu-open', open);
  menu.setAttribute('aria-expanded', open);
};
menu.addEventListener('click', (event) => {
  event.stopPropagation();
  setMenu(!document.body.classList.contains('menu-open'));
});
$('content').addEventListener('click', () => setMenu(false));
// `scrollIntoView` would move the place from which the first Tab goes on.
const current = $('contents').querySelector('.current');
if (current) $('contents').scrollTop = current.offsetTop - $('contents').clientHeight / 2;

// Colours: as the system has them, light, dark.
const themes = { '': 'as the system has them', light: 'light', dark: 'dark' };
const theme = $('theme-button');
const setTheme = (name) => {
  const html = document.documentElement;
  if (name) html.dataset.theme = name; else delete html.dataset.theme;
  theme.title = `Colours: ${themes[name]}`;
  theme.setAttribute('aria-label', theme.title);
};
setTheme(document.documentElement.dataset.theme ?? '');
theme.addEventListener('click', () => {
  const names = Object.keys(themes);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? '') + 1) % names.length];
  setTheme(next);
  try { localStorage.theme = next; } catch { /* private window */ }
});

// Copying code.
const icon = '<svg viewBox="0 0 20 20" width="15" height="15" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round"><path class="sheets" d="M7 7h9v10H7zM4 13V3h9"/><path class="tick" d="M4 11l4 4 8-9"/></svg>';
for (const block of document.querySelectorAll('.code')) {
  const button = document.createElement('button');
  button.className = 'copy';
  button.innerHTML = icon;
  const say = (words) => { button.title = words; button.setAttribute('aria-label', words); };
  say('Copy');
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(block.querySelector('code').textContent.trimEnd());
    say('Copied');
    button.classList.add('done');
    setTimeout(() => { say('Copy'); button.classList.remove('done'); }, 1200);
  });
  block.append(button);
}

// What is wider than the page can be scrolled by keys.
for (const box of document.querySelectorAll('pre, .formula, .table, .drawing, .rich')) {
  if (box.scrollWidth <= box.clientWidth) continue;
  box.tabIndex = 0;
  if (box.matches('.formula, .table, .drawing, .rich')) box.setAttribute('role', 'group');
  if (!box.ariaLabel && box.getAttribute('role')) box.ariaLabel = 'Scrolls sideways';
}

// Previews of what references and citations lead to.
const card = document.createElement('div');
card.className = 'preview';
card.id = 'preview';
card.setAttribute('role', 'tooltip');
card.hidden = true;
document.body.append(card);
let waiting = 0;
const previewed = (link) => {
  const here = link.getAttribute('href').startsWith('#') && $(decodeURIComponent(link.hash.slice(1)));
  if (!here) return link.dataset.note ? document.createTextNode(link.dataset.note) : null;
  const copy = here.cloneNode(true);
  for (const part of [copy, ...copy.querySelectorAll('[id]')]) part.removeAttribute('id');
  for (const part of copy.querySelectorAll('.copy, .anchor, .back')) part.remove();
  return copy;
};
const show = (link) => {
  const shown = previewed(link);
  if (!shown) return;
  card.replaceChildren(shown);
  card.hidden = false;
  link.setAttribute('aria-describedby', card.id);
  place(link);
};
const place = (link) => {
  const at = link.getBoundingClientRect();
  const size = card.getBoundingClientRect();
  const fits = at.bottom + size.height + 12 < innerHeight;
  card.style.top = `${Math.max(8, fits ? at.bottom + 6 : at.top - size.height - 6)}px`;
  card.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
};
const hide = (link) => {
  clearTimeout(waiting);
  card.hidden = true;
  link?.removeAttribute('aria-describedby');
};
for (const link of document.querySelectorAll('.ref, .cite, sup > a')) {
  link.addEventListener('mouseenter', () => { waiting = setTimeout(show, 150, link); });
  link.addEventListener('focus', () => show(link));
  for (const end of ['mouseleave', 'blur', 'click']) link.addEventListener(end, () => hide(link));
}
addEventListener('scroll', () => {
  // A key that moves to a link may scroll to it; a wheel moves away from it.
  const focused = document.activeElement;
  if (focused?.getAttribute('aria-describedby') === card.id) place(focused); else hide();
}, { passive: true });

// The place on the page.
const links = new Map([...document.querySelectorAll('.on-page a')].map((a) => [a.hash.slice(1), a]));
if (links.size) {
  const heads = [...document.querySelectorAll('h2[id], h3[id]')].filter((h) => links.has(h.id));
  const follow = () => {
    const passed = heads.filter((h) => h.getBoundingClientRect().top < 140);
    for (const a of links.values()) a.classList.remove('here');
    links.get((passed.at(-1) ?? heads[0])?.id)?.classList.add('here');
  };
  addEventListener('scroll', () => requestAnimationFrame(follow), { passive: true });
  follow();
}

// Search: the index is loaded with the first key.
const box = $('search');
const results = $('results');
let loading = null;
const load = () => loading ??= new Promise((done) => {
  const script = document.createElement('script');
  script.src = `${root}static/search-index.js`;
  script.onload = () => done(window.searchIndex.map((part) => ({
    ...part, title: part.t.toLowerCase(), text: part.x.toLowerCase(),
  })));
  document.head.append(script);
});
const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
const marked = (text, words) => {
  const pattern = new RegExp(words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'gi');
  let out = '', at = 0;
  for (const match of text.matchAll(pattern)) {
    out += `${escape(text.slice(at, match.index))}<mark>${escape(match[0])}</mark>`;
    at = match.index + match[0].length;
  }
  return out + escape(text.slice(at));
};
const fold = () => {
  results.hidden = true;
  box.setAttribute('aria-expanded', 'false');
  box.removeAttribute('aria-activedescendant');
};
const find = async () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) { fold(); return; }
  const found = [];
  for (const part of await load()) {
    let score = 0;
    for (const word of words) {
      const points = (part.title.includes(word) ? 12 : 0) + Math.min(5, part.text.split(word).length - 1);
      if (!points) { score = 0; break; }
      score += points;
    }
    if (score) found.push([score, part]);
  }
  found.sort((a, b) => b[0] - a[0]);
  results.innerHTML = found.slice(0, 12).map(([, part], number) => {
    const at = Math.max(0, part.text.indexOf(words[0]) - 50);
    const excerpt = part.x.slice(at, at + 140);
    const page = part.p === part.t ? '' : `${escape(part.p)} · `;
    return `<a role="option" id="result-${number}" href="${root}${part.u}">${marked(part.t, words)}<small>${page}${marked(excerpt, words)}…</small></a>`;
  }).join('') || '<p>Nothing found.</p>';
  results.hidden = false;
  box.setAttribute('aria-expanded', 'true');
};
box.addEventListener('input', find);
box.addEventListener('focus', find);
box.addEventListener('keydown', (event) => {
  const all = [...results.querySelectorAll('a')];
  let at = all.findIndex((a) => a.getAttribute('aria-selected') === 'true');
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    event.preventDefault();
    all[at]?.removeAttribute('aria-selected');
    at = (at + (event.key === 'ArrowDown' ? 1 : -1) + all.length) % Math.max(1, all.length);
    all[at]?.setAttribute('aria-selected', 'true');
    all[at]?.scrollIntoView({ block: 'nearest' });
    box.setAttribute('aria-activedescendant', all[at]?.id ?? '');
  } else if (event.key === 'Enter') {
    (all[at] ?? all[0])?.click();
  } else if (event.key === 'Escape') {
    fold();
    box.blur();
  }
});
document.addEventListener('click', (event) => {
  if (!event.target.closest('.search')) fold();
});
document.addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select, [contenteditable]');
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') { setMenu(false); hide(document.activeElement); }
  if (event.key === '/') { event.preventDefault(); box.focus(); }
  if (event.key === 'ArrowLeft') document.querySelector('.previous')?.click();
  if (event.key === 'ArrowRight') document.querySelector('.next')?.click();
});

// Offline reading, where the book is published.
const isPublished = location.protocol.startsWith('http') && !/^(localhost|127\.|\[)/.test(location.hostname);
if (isPublished && 'serviceWorker' in navigator) {
  const manifest = document.createElement('link');
  Object.assign(manifest, { rel: 'manifest', href: `${root}book.webmanifest` });
  document.head.append(manifest);
  addEventListener('load', () => navigator.serviceWorker.register(`${root}worker.js`).catch(() => {}));
}
