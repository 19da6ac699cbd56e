// Lights up the callers and callees of a function; a second press opens its page.
addEventListener('DOMContentLoaded', () => {
'use strict';
const { $, $$ } = monkit, g = $('#graph');
if (!g) return;
g.scrollLeft = (g.scrollWidth - g.clientWidth) / 2;
const nodes = $$('.nd', g), edges = $$('[data-e]', g);
function light(name) {
	const on = new Set([name]);
	for (const e of edges) { const [a, b] = e.dataset.e.split('>'); if (a === name || b === name) { on.add(a); on.add(b); } }
	for (const x of nodes) { x.classList.toggle('dim', !!name && !on.has(x.dataset.n)); x.classList.toggle('on', x.dataset.n === name); }
	for (const e of edges) { const hit = e.dataset.e.split('>').includes(name); e.classList.toggle('dim', !!name && !hit); e.classList.toggle('on', hit); }
}
g.addEventListener('click', e => {
	const node = e.target.closest('.nd');
	if (!node) { light(''); return; }
	if (node.classList.contains('on') || e.ctrlKey || e.metaKey || e.shiftKey) return;
	e.preventDefault(); light(node.dataset.n);
});
addEventListener('keydown', e => { if (e.key === 'Escape') light(''); });
});
