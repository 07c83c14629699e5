// Answers with what the page has kept where the network does not.

const cacheName = () => `bctk ${self.registration.scope}`;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(answer(request));
});

async function answer(request) {
  try {
    return await fetch(request);
  } catch {
    const kept = await (await caches.open(cacheName())).match(request, { ignoreSearch: true });
    return kept ?? Response.error();
  }
}
