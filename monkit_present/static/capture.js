// Waits for what the page asks for, says how long and what went by, and shows what came.
addEventListener('DOMContentLoaded', () => {
'use strict';
const { $, dur } = monkit, box = $('#waiting'), tag = $('#tag');
$('#ask').addEventListener('formdata', e => { const [, key, value] = /^([^=]+)=(.*)$/.exec(tag.value) ?? []; if (key) e.formData.append('tag.' + key, value); });
if (!box) return;
const clock = $('#clock'), bar = $('#pbar'), cancel = $('#cancel'), say = $('#w-say'), t0 = performance.now(), limit = +box.dataset.timeout;
const leaving = new AbortController(), seen = () => +$('#seen').dataset.calls, first = seen();
const seconds = () => (performance.now() - t0) / 1000;
const tick = setInterval(() => {
	clock.textContent = Math.floor(seconds()) + ' s';
	bar.setAttribute('width', Math.min(100, seconds() / limit * 100) + '%');
	const since = seen() - first, p = $('#seen');
	if (since > 0 && !p.dataset.said) { p.append(' ' + since.toLocaleString('en') + (since === 1 ? ' call' : ' calls') + ' began since you asked.'); p.dataset.said = 1; }
}, 250);
const end = words => { clearInterval(tick); say.textContent = words; cancel.hidden = true; $('#again').hidden = false; document.title = words + ' · monkit'; };
cancel.hidden = false;
cancel.onclick = () => { leaving.abort(); end('Cancelled after ' + dur(seconds() * 1000) + '. Nothing was kept.'); };
fetch(box.dataset.from, { signal: leaving.signal, headers: { Accept: 'application/json' } }).then(async answer => {
	if (!answer.ok) { end((await answer.text()).trim()); return; }
	const text = await answer.text(), found = JSON.parse(text);
	if (!Array.isArray(found)) { end((found.matched ? 'A call matched and still ran' : 'No call matched') + ' after ' + Math.round(found.waited_s) + ' s.' + (found.ended_otherwise ? ' ' + found.ended_otherwise.toLocaleString('en') + ' ended otherwise, the longest after ' + dur(found.longest_ns / 1e6) + '.' : '')); return; }
	end('Caught after ' + dur(seconds() * 1000) + '.');
	box.classList.add('done');
	monkit.showTrace(text, $('#caught'));
	$('#key').hidden = false;
	const links = $('#formats');
	links.hidden = false;
	for (const a of monkit.$$('a', links)) a.href = links.dataset.root + '/traces/' + found[0].id_hex + '/' + a.dataset.name;
}).catch(problem => { if (problem.name !== 'AbortError') end('The wait was cut: ' + problem.message); });
addEventListener('pagehide', () => leaving.abort());
});
