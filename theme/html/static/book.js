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
document.querySelector('nav .current')?.scrollIntoView({ block: 'center' });

// Light and dark.
$('theme-button').addEventListener('click', () => {
  const html = document.documentElement;
  const night = matchMedia('(prefers-color-scheme: dark)').matches;
  const now = html.dataset.theme || (night ? 'dark' : 'light');
  html.dataset.theme = now === 'dark' ? 'light' : 'dark';
  try { localStorage.theme = html.dataset.theme; } catch { /* private window */ }
});

// Copying code.
for (const block of document.querySelectorAll('.code')) {
  const button = document.createElement('button');
  button.className = 'copy';
  button.textContent = 'Copy';
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(block.querySelector('code').textContent.trimEnd());
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1200);
  });
  block.append(button);
}

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
const find = async () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) { results.hidden = true; return; }
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
  results.innerHTML = found.slice(0, 12).map(([, part]) => {
    const at = Math.max(0, part.text.indexOf(words[0]) - 50);
    const excerpt = part.x.slice(at, at + 140);
    const page = part.p === part.t ? '' : `${escape(part.p)} · `;
    return `<a role="option" href="${root}${part.u}">${marked(part.t, words)}<small>${page}${marked(excerpt, words)}…</small></a>`;
  }).join('') || '<p>Nothing found.</p>';
  results.hidden = false;
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
  } else if (event.key === 'Enter') {
    (all[at] ?? all[0])?.click();
  } else if (event.key === 'Escape') {
    results.hidden = true;
    box.blur();
  }
});
document.addEventListener('click', (event) => {
  if (!event.target.closest('.search')) results.hidden = true;
});
document.addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select, [contenteditable]');
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === '/') { event.preventDefault(); box.focus(); }
  if (event.key === 'ArrowLeft') document.querySelector('.previous')?.click();
  if (event.key === 'ArrowRight') document.querySelector('.next')?.click();
});
