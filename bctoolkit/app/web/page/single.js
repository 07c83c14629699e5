// Starts the modules that stand in this file: each as an address of its own, in an order in which it finds the others.

const addresses = {};
for (const element of document.querySelectorAll('script[id^="module:"]')) {
  const compressed = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = (await new Response(stream).text()).replaceAll(/from "\.\/([\w-]+\.js)"/g, (_, name) => `from "${addresses[name]}"`);
  addresses[element.id.slice("module:".length)] = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
}
await import(addresses["app.js"]);
