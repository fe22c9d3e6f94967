// Offline reading: keeps the pages of this edition, and gives them when the network does not.
// What stands above, EDITION and FILES, is written by the build.

self.addEventListener('install', (event) => {
  const keep = async () => {
    const cache = await caches.open(EDITION);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: 'no-cache' })));
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener('activate', (event) => {
  const clean = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith('book-') && name !== EDITION);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== location.origin) return;
  const answer = async () => {
    try {
      return await fetch(request);
    } catch (offline) {
      const kept = await caches.match(request.url.replace(/\/(#.*)?$/, '/index.html'), { ignoreSearch: true });
      if (kept) return kept;
      throw offline;
    }
  };
  event.respondWith(answer());
});
