// The page works without this; with it, it stays up to date, tells its age and shows the reader's own zone.
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const SILENT_MS = 15000;
  const ASK_MS = 5000;
  const HIDDEN_MS = 30000;

  const age = (s) => {
    if (s < 90) return `${Math.max(0, Math.round(s))}\u202fs`;
    if (s < 5400) return `${Math.round(s / 60)}\u202fmin`;
    return `${(s / 3600).toFixed(1)}\u202fh`;
  };

  let base = Number(root.dataset.now);
  let at = performance.now();
  let heard = at;
  let streaming = false;
  let asking = false;
  let again = false;

  const bare = (e) => e.outerHTML.replace(/(data-since="\d+">)[^<]*/g, "$1").replace(/ title="[^"]*"/g, "");
  const live = (d) => [...d.querySelectorAll("[data-live]")].map((e) => e.id).join();

  const zones = (d) => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!zone || zone === "UTC") return;
    for (const e of d.querySelectorAll("time")) e.title = `${new Date(e.dateTime).toLocaleString()} ${zone}`;
    for (const e of d.querySelectorAll(".zone")) {
      e.textContent = `Times are UTC; point at one to read it in ${zone}. Now it is ${new Date().toLocaleTimeString()} there.`;
    }
  };

  // A part in which somebody writes, or has opened something, is left alone.
  const busy = (e) => e.contains(document.activeElement) && document.activeElement !== document.body
    && /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);

  const focused = () => {
    const e = document.activeElement;
    return e && e.name && e.value ? [e.tagName, e.name, e.value] : e && e.getAttribute("href") ? [e.tagName, null, e.getAttribute("href")] : null;
  };
  const refocus = (key, within) => {
    if (!key) return;
    const [tag, name, value] = key;
    const found = [...within.querySelectorAll(tag.toLowerCase())].find((e) =>
      name === null ? e.getAttribute("href") === value : e.name === name && e.value === value);
    if (found) found.focus({ preventScroll: true });
  };

  const put = (old, fresh) => {
    const key = old.contains(document.activeElement) ? focused() : null;
    const open = old.querySelector("details[open]") !== null;
    const x = old.scrollLeft;
    old.replaceWith(fresh);
    fresh.scrollLeft = x;
    if (open) for (const d of fresh.querySelectorAll("details")) d.open = true;
    refocus(key, fresh);
  };

  const show = (d) => {
    zones(d);
    base = Number(d.documentElement.dataset.now);
    at = performance.now();
    document.title = d.title;
    const icon = document.querySelector("link[rel=icon]"), next = d.querySelector("link[rel=icon]");
    if (icon.href !== next.href) icon.href = next.href;
    const said = byId("said"), words = d.getElementById("said").textContent;
    if (said.textContent !== words) said.textContent = words;
    if (live(d) !== live(document)) {
      for (const part of ["header", "main", "footer"]) {
        const old = document.querySelector(part);
        if (!busy(old)) put(old, d.querySelector(part));
      }
      return;
    }
    for (const fresh of d.querySelectorAll("[data-live]")) {
      const old = byId(fresh.id);
      if (old && !busy(old) && bare(old) !== bare(fresh)) put(old, fresh);
    }
  };

  // A press that nobody hears would end on the browser's own page of errors.
  const hears = (yes) => { for (const e of document.querySelectorAll("form button")) e.disabled = !yes; };

  const alive = () => {
    heard = performance.now();
    root.classList.remove("off");
    hears(true);
    byId("stale").hidden = true;
  };

  const ask = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (answer.ok) {
        show(new DOMParser().parseFromString(await answer.text(), "text/html"));
        alive();
      }
    } catch { /* told by its age */ }
    asking = false;
    if (again) { again = false; setTimeout(ask, 500); }
  };

  const tick = () => {
    const now = base + performance.now() - at;
    for (const e of document.querySelectorAll("[data-since]")) e.textContent = age((now - e.dataset.since) / 1000);
    const silent = performance.now() - heard;
    if (silent > SILENT_MS) {
      root.classList.add("off");
      hears(false);
      byId("stale").hidden = false;
      byId("gone").textContent = age(silent / 1000);
    }
  };

  const listen = () => {
    const events = new EventSource("/events");
    events.addEventListener("changed", () => { streaming = true; if (!document.hidden) ask(); });
    events.addEventListener("alive", () => { if (streaming) alive(); else { streaming = true; ask(); } });
    events.onerror = () => {
      streaming = false;
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
    };
    addEventListener("pagehide", () => events.close(), { once: true });
  };

  const poll = () => {
    if (!streaming) ask();
    setTimeout(poll, document.hidden ? HIDDEN_MS : ASK_MS);
  };

  const here = new URL(location.href);
  if (here.searchParams.has("said")) {
    here.searchParams.delete("said");
    history.replaceState(null, "", here);
  }
  zones(document);
  if ("still" in root.dataset) return;
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  setInterval(tick, 1000);
  listen();
  setTimeout(poll, ASK_MS);
})();
