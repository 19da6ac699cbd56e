// What every page can do. Each part leaves if its mark-up is not there.
(() => {
'use strict';
const root = document.documentElement;
const $ = (s, e = document) => e.querySelector(s), $$ = (s, e = document) => [...e.querySelectorAll(s)];
const keep = (k, v) => { try { return v === undefined ? localStorage.getItem(k) : localStorage.setItem(k, v); } catch { return null; } };
const theme = keep('theme');
if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;

// Durations as the server writes them; milliseconds in.
function dur(ms) {
	const ns = Math.abs(ms) * 1e6, sig = v => v >= 99.95 ? v.toFixed(0) : v >= 9.995 ? v.toFixed(1) : v.toFixed(2);
	if (ns < .5) return '0s';
	if (ns < 999.5) return ns.toFixed(0) + 'ns';
	if (ns < 999.5e3) return sig(ns / 1e3) + 'µs';
	if (ns < 999.5e6) return sig(ns / 1e6) + 'ms';
	if (ns < 59.95e9) return sig(ns / 1e9) + 's';
	const p = v => String(v).padStart(2, '0'), s = Math.round(ns / 1e9), m = s / 60 | 0, h = s / 3600 | 0;
	if (m < 60) return m + 'm' + p(s % 60) + 's';
	if (h < 24) return h + 'h' + p(m % 60) + 'm' + p(s % 60) + 's';
	const hours = Math.round(s / 3600);
	return (hours / 24 | 0) + 'd' + p(hours % 24) + 'h';
}

async function copy(text, button) {
	const said = button.textContent;
	try { await navigator.clipboard.writeText(text); button.textContent = 'Copied'; } catch { button.textContent = 'Not allowed'; }
	setTimeout(() => { button.textContent = said; }, 1200);
}

function frame() {
	const t = $('#theme'), dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	const say = () => { t.textContent = dark() ? 'Light' : 'Dark'; };
	t.hidden = false; say();
	t.onclick = () => { root.dataset.theme = dark() ? 'light' : 'dark'; keep('theme', root.dataset.theme); say(); };
	const here = $('.nav [aria-current]'); if (here) here.parentNode.scrollLeft = here.offsetLeft - here.parentNode.offsetLeft - 60;
	$$('[data-js]').forEach(e => { e.hidden = false; });
	$$('[data-copy]').forEach(b => { b.hidden = false; b.onclick = () => copy($('#' + b.dataset.copy).textContent, b); });
}

// Tables: sorted by a press on a heading, filtered as one types.
function tables() {
	$$('table[data-sort]').forEach(tb => $$('thead th', tb).forEach((th, i) => {
		if (!th.dataset.k) return;
		const b = document.createElement('button'); b.type = 'button'; b.append(...th.childNodes); th.append(b);
		b.onclick = () => {
			const down = th.getAttribute('aria-sort') ? th.getAttribute('aria-sort') !== 'descending' : th.dataset.k === 'n', body = tb.tBodies[0];
			$$('th[aria-sort]', tb).forEach(o => o.removeAttribute('aria-sort'));
			th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
			const key = r => { const c = r.cells[i]; return !c ? 0 : th.dataset.k === 'n' ? +(c.dataset.v ?? c.textContent.replace(/[,%]/g, '')) || 0 : c.textContent.trim(); };
			const keys = new Map([...body.rows].map(r => [r, key(r)]));
			body.append(...[...body.rows].sort((x, y) => { const a = keys.get(x), c = keys.get(y); return (a < c ? -1 : a > c ? 1 : 0) * (down ? -1 : 1); }));
		};
	}));
	const q = $('#filter'), tb = $('table[data-filter]');
	if (!q || !tb) return;
	const only = $('#only');
	const run = () => {
		let n = 0, all = 0;
		const text = q.value.trim().toLowerCase(), bodies = tb.dataset.filter === 'trees' ? [...tb.tBodies] : [...tb.tBodies[0].rows];
		bodies.forEach(r => { const ok = (!text || r.textContent.toLowerCase().includes(text)) && (!only?.checked || !!r.dataset.bad); r.hidden = !ok; n += ok; all++; });
		$('#count').textContent = (n === all ? n : n + ' of ' + all) + ' ' + tb.dataset.filter;
		$('#none').hidden = n > 0 || all === 0;
	};
	q.oninput = run; if (only) only.onchange = run;
	addEventListener('monkit-live', run);
	run();
}

// Trees: rows with a depth; a row hides what is below it.
function trees() {
	document.addEventListener('click', e => {
		const b = e.target.closest('.tree .tw[aria-expanded]'); if (!b) return;
		b.setAttribute('aria-expanded', b.getAttribute('aria-expanded') === 'false');
		fold(b.closest('tbody'));
	});
}
function fold(body) {
	let skip = Infinity;
	for (const r of body.rows) {
		const d = +r.dataset.d;
		if (d <= skip) skip = Infinity;
		r.hidden = d > skip;
		if (d < skip && $('.tw[aria-expanded=false]', r)) skip = d;
	}
}

// Ages go on counting between two looks, by the clock of the server. Young spans may have ended since: theirs stand.
function clocks() {
	let now = +document.body.dataset.now, t0 = performance.now();
	addEventListener('monkit-live', e => { now = e.detail; t0 = performance.now(); tick(); });
	const tick = () => { const t = now + performance.now() - t0; $$('[data-since]').forEach(e => { const age = now - e.dataset.since; if (age >= 1000) e.textContent = dur(age + t - now); }); };
	setInterval(() => { if (!$('#live').classList.contains('paused')) tick(); }, 250);
}

// The stream: parts of the page that have changed. New parts go to the end of their place; nothing moves.
function live() {
	const at = document.body.dataset.live, mark = $('#live'), pause = $('#pause'), words = mark && $('span', mark);
	if (!at || !window.EventSource) return;
	let stream = null, last = performance.now(), every = 1, paused = false;
	const say = (kind, text) => { mark.classList.toggle('paused', kind === 'paused'); mark.classList.toggle('stale', kind === 'stale'); words.textContent = text; };
	const made = html => { const t = document.createElement('template'); t.innerHTML = html.trim(); return t.content.firstElementChild; };
	const put = (id, html) => {
		const old = document.getElementById(id), now = made(html);
		if (!now) return;
		if (old) {
			if (old.contains(document.activeElement) && document.activeElement.matches('input, select, textarea')) return;
			const shut = new Set($$('.tw[aria-expanded=false]', old).map(b => b.dataset.k)), focus = old.contains(document.activeElement) ? document.activeElement.dataset.k || document.activeElement.getAttribute('href') : null;
			now.hidden = old.hidden; old.replaceWith(now);
			if (shut.size) { $$('.tw[aria-expanded]', now).forEach(b => { if (shut.has(b.dataset.k)) b.setAttribute('aria-expanded', false); }); fold(now); }
			if (focus) $$('a, button', now).find(e => e.dataset.k === focus || e.getAttribute('href') === focus)?.focus({ preventScroll: true });
			return;
		}
		$$('[data-blocks]').find(e => id.startsWith(e.dataset.blocks))?.append(now);
	};
	const take = e => {
		const m = JSON.parse(e.data);
		if (m.order) {
			const known = new Set(m.order);
			$$('[data-blocks]').forEach(box => [...box.children].forEach(c => { if (!known.has(c.id) && c.localName !== 'thead') c.remove(); }));
		}
		for (const id in m.set) put(id, m.set[id]);
		last = performance.now(); every = m.every; say('live', every < 1.5 ? 'live, every second' : 'live, every ' + Math.round(every) + ' s');
		root.classList.remove('old');
		dispatchEvent(new CustomEvent('monkit-live', { detail: m.now }));
	};
	const start = () => { stream = new EventSource(at); stream.onmessage = take; };
	const stop = () => { stream?.close(); stream = null; };
	pause.hidden = false;
	pause.onclick = () => { paused = !paused; pause.textContent = paused ? 'Resume' : 'Pause'; if (paused) { stop(); say('paused', 'paused'); } else { last = performance.now(); start(); } };
	setInterval(() => {
		if (paused) return;
		const s = (performance.now() - last) / 1000;
		if (s > 2.5 + every) { say('stale', 'stale, ' + Math.floor(s) + ' s'); root.classList.toggle('old', s > 60); }
		if (stream?.readyState === EventSource.CLOSED && s > 5 && Math.floor(s) % 5 === 0) { stop(); start(); }
	}, 1000);
	document.addEventListener('visibilitychange', () => { if (paused) return; if (document.hidden) stop(); else { last = performance.now(); stop(); start(); } });
	addEventListener('pagehide', stop);
	start();
}

window.monkit = { $, $$, copy, dur, keep };
addEventListener('DOMContentLoaded', () => { frame(); tables(); trees(); clocks(); live(); });
})();
