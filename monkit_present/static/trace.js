'use strict';
// The picture can be read without this script; it adds details on hover and zoom on click.
// The same text goes into every picture, because its hash is sent before the data exists:
// what differs comes from data attributes. Names get into the page through textContent only.
(function () {
  const LEFT = 16;
  const WIDTH = 1248;
  const LETTER = 6.65;
  const GAP = 6;
  const svg = document.currentScript.parentNode;
  const length = Number(svg.dataset.length); // nanoseconds
  const packed = svg.dataset.rows === 'packed';
  const info = svg.querySelector('#info');
  const idle = info.textContent;
  let bars = null; // while zoomed
  let home = null; // the plot as it came, while zoomed

  function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null) element.removeAttribute(name);
      else element.setAttribute(name, value);
    }
  }

  function make(parent, tag, attributes) {
    const element = document.createElementNS(svg.namespaceURI, tag);
    set(element, attributes);
    return parent.appendChild(element);
  }

  // data-t holds start, length and the index of the parent.
  const figures = (group) => group.dataset.t.split(' ').map(Number);

  function readBar(group) {
    const [start, took, parent] = figures(group);
    const y = parseFloat(group.getAttribute('transform').split(' ')[1]);
    const [rect, path, label] = ['rect', 'path', 'text'].map((tag) => group.querySelector(tag));
    const need = label && !packed ? label.getComputedTextLength() : 0;
    return { group, start, end: start + took, parent, y, rect, path, label, need, own: [], covered: start };
  }

  // Own time is where no child runs. It is worked out anew, as the drawing rounds to a tenth of a pixel.
  function readBars() {
    bars = Array.from(svg.querySelectorAll('g.s'), readBar);
    for (const child of bars.slice().sort((a, b) => a.start - b.start)) {
      const parent = bars[child.parent];
      if (!parent || child.start >= parent.end || child.start === child.end) continue;
      if (child.start > parent.covered) parent.own.push([parent.covered, child.start]);
      parent.covered = Math.max(parent.covered, child.end);
    }
    for (const bar of bars) {
      if (bar.covered < bar.end) bar.own.push([bar.covered, bar.end]);
      if (bar.group.matches('.u') || bar.rect.matches('.o')) bar.own = [];
    }
  }

  function drawBar(bar, from, scale) {
    const start = (bar.start - from) * scale;
    const end = (bar.end - from) * scale;
    const hidden = end < -1 || start > WIDTH + 1;
    set(bar.group, { display: hidden ? 'none' : null });
    if (hidden) return;
    const left = Math.max(start, -4); // an edge outside the plot says that the bar goes on
    const width = Math.max(Math.min(end, WIDTH + 4) - left, packed ? 0.5 : 1.5);
    const own = bar.own
      .map((piece) => piece.map((t) => Math.min(Math.max((t - from) * scale - left, 0), width)))
      .filter(([a, b]) => b - a > 0.05);
    set(bar.group, { transform: `translate(${(LEFT + left).toFixed(1)} ${bar.y})` });
    set(bar.rect, { width: width.toFixed(1) });
    drawOwn(bar, own);
    if (packed) cutLabel(bar, width);
    else placeLabel(bar, left, width, own);
  }

  function drawOwn(bar, own) {
    const [y, height] = packed ? [10, 4] : [0, 13];
    const piece = ([a, b]) => `M${a.toFixed(1)} ${y}H${b.toFixed(1)}v${height}H${a.toFixed(1)}z`;
    if (!bar.path) {
      if (!own.length) return;
      bar.path = make(bar.group, 'path', { class: 'o' });
      bar.rect.after(bar.path); // under the label
    }
    set(bar.path, { d: own.map(piece).join('') || 'M0 0' });
  }

  // The order of the server: in the light, right, left, in the dark; on a hatch beside it first.
  function placeLabel({ label, need }, left, width, own) {
    const inside = (pieces, css) => {
      const piece = pieces.find(([a, b]) => b - a >= need + 2 * GAP);
      return piece && [piece[0] + GAP, null, css];
    };
    const edges = [0, ...own.flat(), width];
    const light = inside([...own, 0].map((_, i) => [edges[2 * i], edges[2 * i + 1]]), 'n');
    const dark = inside(own, 'i');
    const right = left + width + GAP + need <= WIDTH && [width + GAP, null, null];
    const before = left - GAP - need >= 0 && [-GAP, 'end', null];
    const order = label.querySelector('.d') ? [right, before, light, dark] : [light, right, before, dark];
    const [x, anchor, css] = order.find(Boolean) || [GAP, null, 'n'];
    set(label, { x: x.toFixed(1), 'text-anchor': anchor, class: css });
  }

  // The first two lines of the title begin with the name and the time.
  function cutLabel(bar, width) {
    const letters = Math.floor((width - 6) / LETTER);
    let text = '';
    if (letters >= 5) {
      const lines = bar.group.querySelector('title').textContent.split('\n');
      const name = lines[0].split('.').pop() || lines[0];
      const both = name + ' ' + lines[1].split(' ')[0];
      text = name.length > letters ? name.slice(0, letters - 1) + '…' : both.length > letters ? name : both;
      bar.label ||= make(bar.group, 'text', { class: bar.rect.matches('.o') ? 'i' : 'n', x: 3, y: 10 });
    }
    if (bar.label) bar.label.textContent = text;
  }

  // As Go writes a duration: exact, so that neighbouring marks differ at any zoom.
  function exact(ns) {
    if (!ns) return '0';
    const [unit, name] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']].find(([size]) => ns >= size);
    const minutes = Math.floor(ns / 6e10);
    const rest = ns - minutes * 6e10;
    const fraction = String(rest % unit).padStart(String(unit).length - 1, '0').replace(/0+$/, '');
    const seconds = Math.floor(rest / unit) + (fraction && '.' + fraction) + name;
    if (!minutes) return seconds;
    return (minutes < 60 ? '' : Math.floor(minutes / 60) + 'h') + (minutes % 60) + 'm' + seconds;
  }

  // Steps of 1, 2, 5 times a power of ten, 64 pixels apart or as far as the labels need.
  function chooseStep(to, scale) {
    for (let power = 1; ; power *= 10) {
      for (const step of [power, 2 * power, 5 * power]) {
        const label = exact(Math.floor(to / step) * step).length * LETTER + 12;
        if (step * scale >= Math.max(64, label)) return step;
      }
    }
  }

  function drawAxis(from, to, scale) {
    const axis = svg.querySelector('#ax');
    const step = chooseStep(to, scale);
    axis.replaceChildren();
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      const x = LEFT + (t - from) * scale;
      const label = exact(t);
      make(axis, 'path', { class: 'l', d: `M${x.toFixed(1)} 74V${svg.dataset.bottom}` });
      if (x + 4 + label.length * LETTER > LEFT + WIDTH + 8) continue;
      make(axis, 'text', { class: 'm', x: (x + 4).toFixed(1), y: 84 }).textContent = label;
    }
  }

  function zoomTo(group) {
    const [start, took] = figures(group);
    const around = Math.max(took * 0.04, 5); // nanoseconds
    const from = Math.max(0, start - around);
    const to = Math.min(length, start + took + around);
    if (to <= from) return;
    if (!home) {
      home = svg.querySelector('#plot').cloneNode(true);
      readBars();
    }
    const scale = WIDTH / (to - from);
    for (const bar of bars) drawBar(bar, from, scale);
    drawAxis(from, to, scale);
    svg.querySelector('#j')?.remove();
  }

  function whole() {
    if (home) svg.querySelector('#plot').replaceWith(home);
    home = bars = null;
  }

  const shorten = (text, room) => (text.length > room ? text.slice(0, room - 1) + '…' : text);
  const say = (text) => {
    info.textContent = shorten(text, Math.floor(WIDTH / LETTER));
  };

  // All that is known of a bar, below it or above.
  function showDetails(group) {
    svg.querySelector('#more')?.remove();
    if (!group) return;
    const lines = group.querySelector('title').textContent.split('\n').slice(0, 24);
    const texts = lines.map((line) => shorten(line, 110));
    const width = Math.max(...texts.map((text) => text.length)) * LETTER + 16;
    const height = texts.length * 15 + 10;
    const [x, y] = group.getAttribute('transform').match(/-?[\d.]+/g).map(Number);
    const bottom = Number(svg.dataset.bottom);
    const top = y + 20 + height > bottom && y - height - 4 > 66 ? y - height - 4 : y + 20;
    const box = make(svg, 'g', { id: 'more', transform: `translate(${Math.max(4, Math.min(x, 1276 - width))} ${top})` });
    make(box, 'rect', { width, height, rx: 4 });
    texts.forEach((text, line) => {
      make(box, 'text', { x: 8, y: 16 + line * 15 }).textContent = text;
    });
  }

  // Letters that are typed are looked for in names, arguments and notes; what lacks them fades.
  function search(text) {
    wanted = text;
    const groups = Array.from(svg.querySelectorAll('g.s'));
    const has = (group) => group.querySelector('title').textContent.toLowerCase().includes(text.toLowerCase());
    hits = text ? groups.filter(has) : [];
    const found = new Set(hits);
    groups.forEach((group) => group.classList.toggle('q', text !== '' && !found.has(group)));
    say(text ? `find: ${text} · ${hits.length} of ${groups.length} · Enter: to the next · Esc: end` : idle);
  }
  let wanted = '';
  let hits = [];
  let hit = -1;

  svg.addEventListener('mouseover', (event) => {
    if (wanted) return;
    const group = event.target.closest('g.s');
    say(group ? group.querySelector('title').textContent.replaceAll('\n', ' · ') : idle);
  });
  svg.addEventListener('click', (event) => {
    if (String(getSelection()) || event.target.closest('#more')) return; // a text is being copied
    const group = event.target.closest('g.s');
    if (group) zoomTo(group);
    else whole();
    showDetails(group);
  });
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape') {
      if (wanted) search('');
      else whole();
      showDetails(null);
    } else if (event.key === 'Enter' && hits.length) {
      hit = (hit + 1) % hits.length;
      hits[hit].scrollIntoView({ block: 'center' });
      showDetails(hits[hit]);
    } else if (event.key === 'Backspace') search(wanted.slice(0, -1));
    else if (event.key.length === 1 && (wanted || event.key !== ' ')) {
      event.preventDefault();
      hit = -1;
      search(wanted + event.key);
    }
  });
  svg.querySelector('#tip').textContent = 'hover or click a bar: details, zoom · click beside or Esc: zoom out · type: find';
})();
