// The viewer of traces. One array a fact, one entry a span. Names get into the page as text only.
(() => {
'use strict';
const { $, $$, copy, dur } = monkit, { abs, ceil, floor, max, min, round } = Math, set = Object.assign;
const WORDS = { err: 'error', can: 'cancelled', pan: 'panic', orp: 'orphan', run: 'unfinished' };
const ROW = 22, GUIDES = 12, LEAST_NS = 100;
const time = ns => dur(ns / 1e6), rect = e => e.getBoundingClientRect();
const many = (n, word) => `${n.toLocaleString('en')} ${word}${n === 1 || word.endsWith('ed') ? '' : word.endsWith('h') ? 'es' : 's'}`;
const el = (name, cls = '', ...inside) => { const e = document.createElement(name); e.className = cls; e.append(...inside); return e; };
const fill = (g, colour, x, y, w, h) => { g.fillStyle = colour; g.fillRect(x, y, w, h); };
const on = (e, name, act, signal) => e.addEventListener(name, act, { signal, passive: false });
const icon = k => { const t = el('template'); t.innerHTML = `<svg class="i ${k}" aria-hidden="true"><use href="#i-${k}"/></svg>`; return t.content; };

// Our JSON, as text or parsed. No number holds nanoseconds since 1970: they are text until the first is taken off.
function readTrace(from) {
	try { return reckon(from.map ? from : JSON.parse(from.replace(/"(start|finish)":\s*(\d+)/g, '"$1":"$2"'))); } catch { throw new Error('no trace: expected a list of spans as /trace/json writes it.'); }
}
function reckon(from) {
	// Parents first, each subtree in one piece; whose parent is not further up is a root.
	const at = new Map(), below = [[]], rank = [], order = [];
	const up = from.map((r, k) => { const p = at.get(r.parent_id_hex) ?? -1; at.set(r.id_hex.trim(), k); r.func.name.trim(); (below[p + 1] ??= []).push(k); return p; });
	for (const todo = below[0].reverse(); todo.length;) { const k = todo.pop(), ks = below[k + 1] ??= []; rank[k] = order.push(k) - 1; for (let j = ks.length; j--;) todo.push(ks[j]); }
	const items = order.map(k => from[k]), parent = order.map(k => rank[up[k]] ?? -1), kids = order.map(k => below[k + 1].map(j => rank[j]));
	const base = items.map(r => BigInt(r.start)).reduce((a, b) => a < b ? a : b), since = v => Number(BigInt(v) - base);
	const start = items.map(r => since(r.start)), end = items.map((r, i) => max(start[i], r.finish == null ? start[i] + (r.elapsed ?? 0) : since(r.finish))), length = end.reduce((a, b) => max(a, b)), depth = [], last = [];
	items.forEach((r, i) => { if (r.finish == null) end[i] = length; depth[i] = (depth[parent[i]] ?? -1) + 1; });
	for (let i = items.length; i--;) { last[i] ??= i + 1; last[parent[i]] ??= last[i]; }
	const kind = items.map(r => r.panicked ? 'pan' : r.error_name === 'Canceled' ? 'can' : r.error_name != null ? 'err' : '');
	const marks = items.map((r, i) => [kind[i], r.orphaned && 'orp', r.finish == null && 'run'].filter(Boolean));
	const own = kids.map((ks, i) => { // when no child ran: [from, to, from, to, ...]
		const o = []; let t = start[i];
		for (const c of ks.sort((a, b) => start[a] - start[b])) {
			if (start[c] >= end[i]) break;
			if (start[c] === end[c] || end[c] <= t) continue;
			if (start[c] > t) o.push(t, start[c]);
			t = end[c];
		}
		if (t < end[i]) o.push(t, end[i]);
		return o;
	});
	return { items, parent, kids, base, start, end, length, depth, last, kind, marks, own, ...criticalPath(start, end, kids.map(ks => ks.filter(c => !items[c].orphaned && items[c].finish != null && start[c] < end[c]))) };
}

// From the root's end backwards. Pieces: span, from, to; joins: time, parent, child.
function criticalPath(start, end, kids) {
	const pieces = [], joins = [], visit = (s, low, t) => ({ s, low, t, k: 0, kids: kids[s].sort((a, b) => end[b] - end[a]) });
	for (const stack = [visit(0, start[0], end[0])]; stack.length;) {
		const f = stack.at(-1);
		while (end[f.kids[f.k]] > f.t) f.k++;
		const c = f.kids[f.k++], to = max(end[c] ?? 0, f.low);
		if (f.t > to) pieces.push([f.s, to, f.t]);
		if (to === f.low) { stack.pop(); continue; }
		f.t = max(start[c], f.low);
		joins.push([to, f.s, c], [f.t, f.s, c]);
		stack.push(visit(c, f.t, to));
	}
	return { pieces: pieces.reverse(), joins };
}

function palette() {
	const probe = document.body.appendChild(el('i')), c = { font: '11px ' + getComputedStyle(probe).getPropertyValue('--mono') };
	for (const k of 'bg line ink2 ink3 own wait err err-t can can-t pan pan-t orp crit join over'.split(' ')) { probe.style.color = `var(--${k})`; c[k] = getComputedStyle(probe).color; }
	probe.remove();
	const hatch = (w, h, turn, ground, ink, path, wide) => {
		const t = set(el('canvas'), { width: 2 * w, height: 2 * h }), g = t.getContext('2d');
		g.scale(2, 2); set(g, { strokeStyle: c[ink], lineWidth: wide }); fill(g, c[ground], 0, 0, w, h); g.stroke(new Path2D(path));
		const p = g.createPattern(t, ''); p.setTransform(new DOMMatrix().rotate(turn).scale(.5)); return p;
	};
	c.light = { '': c.wait, run: hatch(8, 12, 0, 'wait', 'own', 'M1 2l4 4-4 4', 1.1) }; c.dark = { '': c.own }; c.edge = { ...c, '': c.own };
	for (const [k, size, turn] of [['err', 5, 45], ['can', 6, -45]]) { c.light[k] = hatch(size, size, turn, k + '-t', k, 'M.8 0v9', 1.6); c.dark[k] = hatch(size, size, turn, k, 'over', 'M.6 0v9', 1.2); }
	c.light.pan = c.dark.pan = hatch(4, 4, 0, 'pan-t', 'pan', 'M0 0l4 4M4 0L0 4', .9);
	return c;
}

function tickText(ns, step) {
	if (!ns || ns >= 6e10 && step >= 1e9) return ns ? time(ns) : '0';
	const [size, unit] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']].find(u => ns >= u[0]);
	return +(ns / size).toFixed(max(0, ceil(Math.log10(size / step) - 1e-9))) + unit;
}

// Show our JSON, or what readTrace made of it, in place of what is in an element; only its buttons stay.
function showTrace(rows, box) {
	const m = rows.own ? rows : readTrace(rows), { items, parent, kids, start, end, length, depth, last, kind, marks, own, pieces, joins } = m;
	box.viewer?.abort();
	const { signal } = box.viewer = new AbortController(), acts = $('.acts', box) ?? '';
	box.replaceChildren($('#viewer').content.cloneNode(true));
	const f = {}, whole = max(length, 1);
	$$('[data-f]', box).forEach(e => { f[e.dataset.f] = e; });
	const { tv, body } = f;
	f.head.append(acts);
	const sum = o => o.reduce((s, t, j) => j % 2 ? s + t : s - t, 0), run = i => items[i].finish == null, took = i => time(end[i] - start[i]) + (run(i) ? '+' : '');
	const scope = i => items[i].func.package ? items[i].func.package + '.' : '', short = i => items[i].func.name, full = i => scope(i) + short(i);
	const failed = i => kind[i] && (items[i].error_name || WORDS[kind[i]]), word = (i, k) => k === kind[i] && items[i].error_name ? WORDS[k] + ' ' + failed(i) : WORDS[k];
	const shut = new Set(), made = new Map(), place = [], x = t => (t - a) * k;
	let c = palette(), a = 0, b = whole, k, W, visible, lines, fits, hits, hay, h, first, until, still, asked, text = '', least = 0, filter = false, critical = true, now = 0;

	{
		const { sub } = f, at = new Date(Number(m.base / 1000000n)), dropped = items.reduce((n, r) => n + (r.dropped || 0), 0);
		f.title.append(el('span', 'sc', scope(0)), short(0), ...kind[0] ? [' ', el('span', 'pill ' + kind[0], icon(kind[0]), failed(0))] : []);
		if (m.file) sub.append('file ', el('span', 'm', m.file), ' · ');
		sub.append('trace ', el('span', 'm', items[0].trace?.id_hex ?? '–'), ` · ${at.toTimeString().slice(0, 8)}.${String(at % 1000).padStart(3, 0)} · ${many(items.length, 'span')} · ${took(0)}`);
		for (const w in WORDS) { const n = marks.filter(o => o.includes(w)).length; if (n) sub.append(' · ', icon(w), ' ' + many(n, WORDS[w])); }
		sub.append(` · ${dropped ? many(dropped, 'span') : 'none'} dropped`);
		f.links.hidden = m.file;
	}

	// Who has no row is drawn in that of the nearest ancestor that has one.
	function lay() {
		const keep = [], hides = least || filter && text; let found = 0, folded = 0;
		fits = []; hits = []; visible = []; lines = new Map();
		if (text) hay ??= items.map((r, i) => [full(i), r.args, r.annotations, r.error_name, r.err].flat(3).join(' ').toLowerCase());
		for (let i = items.length; i--;) {
			const long = end[i] - start[i] >= least, hit = long && (!text || hay[i].includes(text));
			found += hit; hits[i] = hit && text; fits[i] = filter ? hit : long;
			if (keep[i] ||= fits[i]) keep[parent[i]] = true;
		}
		items.forEach((_, i) => {
			place[i] = place[parent[i]] ?? -1;
			if (i >= folded && (!hides || keep[i])) { place[i] = visible.push(i) - 1; if (shut.has(i)) folded = last[i]; }
		});
		for (const p of pieces) { const r = place[p[0]]; lines.get(r)?.push(p) ?? lines.set(r, [p]); }
		f.hits.textContent = text || least ? many(found, 'match') : '';
		f.none.hidden = visible.length > 0; tv.ariaRowCount = visible.length + 1;
		h = 0; measure();
	}
	function measure() {
		const tall = +getComputedStyle(tv).getPropertyValue('--row');
		if (h !== tall) { h = tall; body.replaceChildren(f.bars); made.clear(); body.style.height = visible.length * h + 'px'; }
		still = null; ask();
	}
	function ask() { asked ||= requestAnimationFrame(() => { asked = 0; if (!signal.aborted) { scroll(); paint(); mini(); } }); }

	function scroll() {
		const top = rect(body).top, within = r => max(0, min(visible.length, r));
		first = within(floor(-top / h) - 6); until = within(ceil((innerHeight - top) / h) + 6);
		made.forEach((e, r) => { if (r < first || r >= until) { e.remove(); made.delete(r); } });
		for (let r = first, before = f.bars; r < until; before = made.get(r++)) if (!made.has(r)) { made.set(r, row(r)); before.after(made.get(r)); }
		tv.setAttribute('aria-activedescendant', made.has(place[now]) ? 's' + visible[place[now]] : '');
	}
	function row(r) {
		const i = visible[r], guides = el('span', 'guides'), parts = [guides, depth[i] > GUIDES ? el('span', 's', depth[i]) : '', el('span', kids[i].length ? 'tw' : 'tw leaf')];
		for (const w of marks[i]) parts.push(icon(w), el('span', 'vh', word(i, w)));
		parts.push(el('span', 'fn', el('span', 'sc', scope(i)), el('span', 'nn', short(i))), shut.has(i) ? el('span', 's', '+' + (last[i] - i - 1)) : '');
		const cells = [el('span', 'nm', ...parts), el('span', 'n p2', time(sum(own[i]))), el('span', 'n', took(i)), set(el('span', 'tl'), { ariaLabel: 'from ' + time(start[i]) })].map(e => set(e, { role: 'gridcell' }));
		const e = set(el('div', `tv-row ${hits[i] ? 'hit' : ''} ${fits[i] ? '' : 'dim'}`, ...cells), { role: 'row', id: 's' + i, title: full(i), ariaLevel: depth[i] + 1, ariaRowIndex: r + 2, ariaSelected: i === now, ariaExpanded: kids[i].length ? !shut.has(i) : null });
		e.style.top = r * h + 'px'; guides.style.width = 12 * min(depth[i], GUIDES) + 'px';
		return e;
	}

	function fitted(canvas, tall) {
		const d = devicePixelRatio, w = canvas.clientWidth, g = canvas.getContext('2d');
		set(canvas, { width: w * d, height: tall * d }); canvas.style.height = tall + 'px';
		g.scale(d, d); g.font = c.font;
		return [g, w, d];
	}
	function paint() {
		const tall = (until - first) * h, [g, w, d] = fitted(f.bars, max(1, tall)), each = act => { for (let r = first; r < until; r++) { g.setTransform(d, 0, 0, d, 0, d * ((r - first + 1) * h - ROW)); g.globalAlpha = fits[visible[r]] ? 1 : .42; act(g, visible[r], r); } g.globalAlpha = 1; };
		f.bars.style.top = first * h + 'px'; W = w; k = w / (b - a);
		ruler(g, tall); each(bar);
		if (critical) {
			g.setTransform(d, 0, 0, d, 0, 0); if (h === ROW) connect(g, tall);
			each(path);
		}
		each(label);
	}
	function ruler(under, tall) {
		const [g] = fitted(f.ruler, 26), raw = max(1, max(64, tickText(b, (b - a) / 9).length * 7 + 14) / k), size = 10 ** floor(Math.log10(raw)), step = size * [1, 2, 5, 10].find(s => s * size >= raw);
		for (let j = ceil(a / step); j * step <= b; j++) {
			const at = round(x(j * step)), words = tickText(round(j * step), step);
			fill(under, c.line, at, 0, 1, tall); fill(g, c.line, at, j ? 18 : 0, 1, 26);
			g.fillStyle = c.ink3; if (at + 5 + g.measureText(words).width < W) g.fillText(words, at + 5, 17);
		}
	}
	function bar(g, i) {
		if (h > ROW) g.clearRect(0, -20, W, 20);
		const from = max(x(start[i]), -6), wide = min(max(x(end[i]), x(start[i]) + 1.5), W + 6) - from, alpha = g.globalAlpha;
		if (wide <= 0) return;
		g.strokeStyle = c.edge[kind[i]]; g.lineWidth = 1;
		if (wide < 3) fill(g, c.edge[kind[i]], from, 5, wide, 12); else {
			fill(g, c.light[run(i) ? 'run' : kind[i]], from, 5, wide, 12); if (!run(i)) ownBars(g, c.dark[kind[i]], own[i]);
			if (!kind[i]) g.globalAlpha *= .7;
			g.strokeRect(from + .5, 5.5, wide - 1, 11); g.globalAlpha = alpha;
		}
		if (items[i].orphaned) { g.strokeStyle = c.orp; g.lineWidth = 1.2; g.setLineDash([3, 2]); g.beginPath(); g.roundRect(from - 1.5, 3.5, wide + 3, 15, 2); g.stroke(); g.setLineDash([]); }
	}
	// Pieces finer than a pixel are added up in theirs.
	function ownBars(g, colour, o) {
		let column, dark = 0; const flush = () => { fill(g, colour, column, 5, min(dark, 1), 12); dark = 0; };
		for (let j = 0; o[j] <= b; j += 2) {
			if (o[j + 1] < a) continue;
			const from = max(x(o[j]), -6), wide = min(x(o[j + 1]), W + 6) - from;
			if (floor(from) !== column || wide >= 1) flush();
			column = floor(from);
			if (wide >= 1) fill(g, colour, from, 5, wide, 12); else dark += wide;
		}
		flush();
	}
	function path(g, i, r) {
		let done = -6;
		for (const p of lines.get(r) ?? []) { const from = max(x(p[1]), done); done = max(done, min(max(x(p[2]), from + 1), W + 6)); if (done > from) fill(g, c.crit, from, 18.5, done - from, 2); }
	}
	// A line a column, to children that can be seen: those to others would fill the picture of a large trace.
	function connect(g, tall) {
		const columns = new Map();
		for (const [t, p, q] of joins) {
			const at = round(x(t)), top = place[p], low = place[q];
			if (low < first || low >= until || at < 0 || at > W || top < 0 || low <= top) continue;
			const old = columns.get(at) ?? [top, low];
			columns.set(at, [min(old[0], top), max(old[1], low)]);
		}
		for (const [at, [top, low]] of columns) { const y = max((top - first) * h + 19, 0); fill(g, c.join, at, y, 1, min((low - first) * h + 20, tall) - y); }
	}
	function label(g, i) {
		const from = x(start[i]), to = max(x(end[i]), from + 1.5), right = to < .86 * W, at = right ? to + 6 : from - 6;
		if (to < 0 || from > W || !right && from < .14 * W) return;
		const words = [took(i), failed(i), items[i].orphaned && 'orphan', run(i) && 'running'].filter(Boolean).join(' ').slice(0, 60);
		set(g, { textAlign: right ? 'left' : 'right', lineWidth: 3, lineJoin: 'round', fillStyle: c.ink2, globalCompositeOperation: 'destination-out' }); g.strokeText(words, at, 15); // the halo is the row itself
		g.globalCompositeOperation = 'source-over'; g.fillText(words, at, 15);
	}
	function mini() {
		const [g, w, d] = fitted(f.mini, 48), n = items.length, s = w / whole;
		if (!still) {
			still = set(el('canvas'), { width: max(1, w * d), height: 48 * d });
			const t = still.getContext('2d'); t.scale(d, d);
			for (const bad of [false, true]) for (let i = 0; i < n; i++) if (!!kind[i] === bad) fill(t, c.edge[kind[i]], start[i] * s, 2 + 44 * i / n, max((end[i] - start[i]) * s, .7), 1.2);
		}
		g.drawImage(still, 0, 0, w, 48);
		g.globalAlpha = .72; fill(g, c.bg, 0, 0, a * s, 48); fill(g, c.bg, b * s, 0, w, 48); g.globalAlpha = 1;
		for (const t of [a, b]) fill(g, c.ink2, max(0, min(w - 3, t * s - 1.5)), 12, 3, 24);
	}

	function view(from, to) {
		const wide = min(whole, max(LEAST_NS, to - from));
		a = max(0, min(whole - wide, (from + to - wide) / 2)); b = a + wide; ask();
	}
	const zoom = (by, at = (a + b) / 2) => view(at - (at - a) * by, at + (b - at) * by), pan = by => view(a + (b - a) * by, b + (b - a) * by), all = () => view(0, whole);
	const around = i => { const edge = max((end[i] - start[i]) * .05, LEAST_NS / 2); view(start[i] - edge, end[i] + edge); };

	// `go`: somebody meant it, so the address follows and the row comes into view.
	function pick(i, go) {
		let opened = false;
		for (let p = parent[i]; p >= 0; p = parent[p]) opened = shut.delete(p) || opened;
		now = i;
		if (opened) lay();
		made.forEach((e, r) => { e.ariaSelected = visible[r] === i; });
		details(i); ask();
		if (go) { history.replaceState(null, '', '#s' + i); tv.focus({ preventScroll: true }); reveal(); }
	}
	function reveal() { const y = rect(body).top + place[now] * h, top = h > ROW ? 4 : 74; scrollBy(0, y < top ? y - top : max(0, y + h + 34 - innerHeight)); }
	function atHash() { const i = /^#s(\d+)$/.exec(location.hash)?.[1]; if (items[i]) { pick(+i); reveal(); } }
	const step = by => { const i = visible[place[now] + by]; if (i >= 0) pick(i, true); };
	const next = wanted => { const r = place[now] + 1, i = [...visible.slice(r), ...visible.slice(0, r)].find(wanted); if (i >= 0) pick(i, true); };
	const flip = i => { if (!shut.delete(i)) shut.add(i); lay(); };
	const fold = () => kids[now].length && !shut.has(now) ? flip(now) : parent[now] >= 0 && pick(parent[now], true), open = () => kids[now].length && (shut.has(now) ? flip(now) : step(1));

	function details(i) {
		const r = items[i], part = pieces.reduce((s, p) => p[0] === i ? s + p[2] - p[1] : s, 0), mine = sum(own[i]), share = 100 * mine / (end[i] - start[i] || 1), notes = r.annotations ?? [], wide = min(24, max(0, ...notes.map(o => o[0].length)));
		const mark = marks[i][0] ?? 'ok', root = box.dataset.root ?? '', name = full(i);
		const said = { name, took: took(i), own: `${time(mine)}, ${share.toFixed(share < 9.95 ? 1 : 0)} %`, start: '+' + time(start[i]), path: part ? time(part) + ' of it on the path' : 'off the path', id: r.id_hex,
			args: r.args?.join('\n') || 'none recorded', notes: notes.map(o => o[0].padEnd(wide) + '  ' + o[1]).join('\n'), error: r.err && `${r.error_name ?? 'error'}: ${r.err}` };
		for (const k in said) f[k].textContent = said[k];
		for (const e of [f.notes, f.error]) e.parentNode.hidden = !e.textContent;
		f.state.className = 'st ' + mark; f.state.replaceChildren(icon(mark), marks[i].map(w => word(i, w)).join(', ') || 'ok');
		f.calls.href = root + '/funcs/' + encodeURIComponent(name); f.again.href = root + '/capture?regex=' + encodeURIComponent(name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') + '$');
	}

	const typed = () => { const t = /^\s*([\d.]+)\s*(ns|µs|us|ms|s|m)?\s*$/.exec(f.least.value); least = t ? t[1] * { ns: 1, µs: 1e3, us: 1e3, ms: 1e6, s: 1e9, m: 6e10 }[t[2] ?? 'ms'] || 0 : 0; text = f.find.value.trim().toLowerCase(); lay(); };
	f.find.oninput = f.least.oninput = typed; f.clear.onclick = () => { f.find.value = f.least.value = ''; typed(); };
	f.find.onkeydown = e => { if (e.key === 'Enter' && text) { next(i => hits[i]); f.find.focus({ preventScroll: true }); } };
	f.search.onclick = f.filter.onclick = e => { filter = e.target === f.filter; f.search.ariaPressed = !filter; f.filter.ariaPressed = filter; lay(); };
	const keys = { __proto__: null, j: () => step(1), k: () => step(-1), h: fold, l: open, z: () => around(now), '+': () => zoom(.5), '-': () => zoom(2), a: () => pan(-.25), d: () => pan(.25), 0: all, c: () => { critical = f.crit.ariaPressed = !critical; ask(); }, e: () => next(i => marks[i].length), '/': () => f.find.focus() };
	set(keys, { ArrowDown: keys.j, ArrowUp: keys.k, ArrowLeft: fold, ArrowRight: open, '=': keys['+'] });
	on(document, 'keydown', e => {
		if (e.ctrlKey || e.metaKey || e.altKey || !tv.isConnected) return;
		if (e.target.matches('input, select')) { if (e.key === 'Escape') e.target.blur(); } else if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
	}, signal);
	$$('[data-key]', box).forEach(e => { e.onclick = keys[e.dataset.key]; });
	$$('[data-take]', box).forEach(e => { e.onclick = () => copy(f[e.dataset.take].textContent, e); });
	$$('[data-link]', box).forEach(e => { e.onclick = () => copy(location.href.split('#')[0] + '#s' + now, e); });

	const spanAt = e => e.target.closest('.tv-row')?.id.slice(1), share = (e, canvas) => { const { left, width } = rect(canvas); return max(0, min(1, (e.clientX - left) / width)); };
	body.onclick = e => { const i = spanAt(e); if (i) if (e.target.matches('.tw') && kids[i].length) flip(+i); else pick(+i, true); };
	body.ondblclick = e => { const i = spanAt(e); if (i) around(i); };
	on(tv, 'wheel', e => {
		const by = e.deltaY || e.deltaX;
		if (e.ctrlKey) zoom(by > 0 ? 1.2 : 1 / 1.2, a + share(e, f.ruler) * (b - a)); else if (e.shiftKey || !e.deltaY) pan(by / 1500); else return;
		e.preventDefault();
	});
	let held = null;
	const at = e => share(e, f.mini) * whole, far = (s, t) => abs(s - t) > 5 * whole / f.mini.clientWidth;
	f.mini.onpointerdown = e => { const t = at(e); f.mini.setPointerCapture(e.pointerId); held = far(t, a) && far(t, b) ? { t } : { t: far(t, a) ? a : b, moved: true }; };
	f.mini.onpointermove = e => { const t = at(e); if (held && (held.moved ||= far(t, held.t))) view(min(t, held.t), max(t, held.t)); };
	f.mini.onpointerup = () => { if (held && !held.moved) view(held.t - (b - a) / 2, held.t + (b - a) / 2); held = null; };

	const again = () => { c = palette(); still = null; ask(); }, theme = new MutationObserver(again), size = new ResizeObserver(measure);
	theme.observe($(':root'), { attributeFilter: ['data-theme'] }); size.observe(tv);
	on(matchMedia('(prefers-color-scheme: dark)'), 'change', again, signal); on(window, 'scroll', ask, signal); on(window, 'resize', measure, signal); on(window, 'hashchange', atHash, signal);
	signal.onabort = () => { theme.disconnect(); size.disconnect(); };
	lay(); pick(0); atHash();
}

async function put(box, get, file) {
	$('[role=alert]', box)?.remove(); box.hidden = false;
	try {
		const m = readTrace(await get());
		if (file) { m.file = file.name; history.replaceState(null, '', location.pathname + location.search); $$('[data-of=page]', box).forEach(e => e.remove()); }
		showTrace(m, box);
	} catch (e) { box.prepend(set(el('p', 'note bad', (file ? file.name + ' is ' : 'No data came: ') + e.message), { role: 'alert' })); }
}
set(monkit, { readTrace, showTrace });
on(window, 'DOMContentLoaded', () => {
	const box = $('#trace'), take = file => file && put(box, () => file.text(), file); if (!box) return;
	on(document, 'change', e => { if (e.target.matches('[data-open]')) { take(e.target.files[0]); e.target.value = ''; } });
	on(document, 'dragover', e => e.preventDefault());
	on(document, 'drop', e => { e.preventDefault(); take(e.dataTransfer.files[0]); });
	if (box.dataset.trace) put(box, async () => { const answer = await fetch(box.dataset.trace), text = await answer.text(); if (!answer.ok) throw new Error(text); return text; });
});
})();
