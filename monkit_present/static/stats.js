// Charts figures that are chosen in the table, from the moment the page is open.
addEventListener('DOMContentLoaded', () => {
'use strict';
const { $, $$ } = monkit;
const past = new Map(), chosen = new Set(), most = 900, lines = ['ln', 'ln l2', 'ln l3'];
const box = $('#chart'), svg = $('svg', box), legend = $('.legend', box), NS = svg.namespaceURI;
const make = (parent, name, attributes, text) => { const e = document.createElementNS(NS, name); for (const k in attributes) e.setAttribute(k, attributes[k]); if (text) e.textContent = text; return parent.appendChild(e); };

function look() {
	const now = Date.now();
	for (const r of $$('tbody tr[id]')) {
		const v = parseFloat(r.cells[3].dataset.v); if (!Number.isFinite(v)) continue;
		const points = past.get(r.id) ?? past.set(r.id, []).get(r.id);
		points.push([now, v]); if (points.length > most) points.shift();
		const b = $('[data-chart]', r); b.hidden = false; b.checked = chosen.has(r.id);
	}
	draw();
}

function draw() {
	box.hidden = !chosen.size; svg.replaceChildren(); legend.replaceChildren();
	if (!chosen.size) return;
	const all = [...chosen].map(id => past.get(id) ?? []), t0 = Math.min(...all.map(p => p[0]?.[0] ?? Infinity)), t1 = Math.max(...all.map(p => p.at(-1)?.[0] ?? 0)), wide = Math.max(t1 - t0, 1000);
	make(svg, 'line', { class: 'ax0', x1: 0, x2: '100%', y1: 140, y2: 140 });
	for (const part of [0, .25, .5, .75]) make(svg, 'text', { x: part * 100 + '%', y: 156 }, new Date(t0 + part * wide).toTimeString().slice(0, 8));
	const inner = make(svg, 'svg', { viewBox: '0 0 1000 140', preserveAspectRatio: 'none', width: '100%', height: 140 });
	[...chosen].forEach((id, i) => {
		const points = past.get(id) ?? [], values = points.map(p => p[1]), low = Math.min(...values), high = Math.max(...values), kind = lines[i % lines.length];
		const y = v => high > low ? 132 - (v - low) / (high - low) * 120 : 72;
		make(inner, 'path', { class: kind, d: points.map((p, j) => (j ? 'L' : 'M') + ((p[0] - t0) / wide * 1000).toFixed(1) + ' ' + y(p[1]).toFixed(1)).join('') });
		const row = document.getElementById(id), span = document.createElement('span'), key = make(span, 'svg', { class: 'chart lgl', viewBox: '0 0 28 14' });
		make(key, 'path', { class: kind, d: 'M0 7h28' });
		span.append((row ? row.cells[1].textContent + ' ' + row.cells[2].textContent : id) + ': ' + low.toPrecision(4) + ' to ' + high.toPrecision(4));
		legend.append(span);
	});
}

document.addEventListener('change', e => {
	if (!e.target.matches('[data-chart]')) return;
	const id = e.target.closest('tr').id;
	if (e.target.checked && chosen.size < 6) chosen.add(id); else { chosen.delete(id); e.target.checked = false; }
	draw();
});
addEventListener('monkit-live', look);
look();

const mark = $('#mark');
mark.onclick = async () => {
	mark.disabled = true;
	const answer = await fetch(mark.dataset.to, { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Monkit-Action': '1' }, body: '{}' });
	if (answer.ok) location.href = mark.dataset.then; else { mark.disabled = false; mark.textContent = 'Not set: ' + (await answer.text()).trim(); }
};
});
