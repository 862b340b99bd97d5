// Elements and nothing else. Whatever comes from outside becomes a text node: there is no way here to make markup of it.

import { visible } from './text.js';

const SVG = 'http://www.w3.org/2000/svg';

export const $ = (id) => document.getElementById(id);

/**
 * Makes an element: h('a', {class: 'x', href, onclick, data: {kind}}, children…). A prop of undefined, null or false is
 * left out, true is an empty attribute, a function a listener. Children are nodes, texts, arrays of both, or nothing.
 */
export function h(tag, props = {}, ...children) {
  return build(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props = {}, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== undefined && child !== null && child !== false) element.append(child);
  }
}

/** Puts children in the place of those that are there. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Sets a text only where it changed, so that a screen reader and a selection are left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text from outside: hidden characters by their numbers, and its reading direction kept to itself. */
export function out(text, props = {}) {
  return h('bdi', { dir: 'ltr', ...props, class: `out ${props.class ?? ''}` }, visible(text));
}

/** Tells a screen reader one sentence. For what a person just did, never for what changes by itself. */
export function announce(text) {
  $('spoken').textContent = text;
}

let ids = 0;

/** A label and its field, below each other. */
export function field(label, control, hint) {
  control.id ||= `field-${++ids}`;
  const note = hint && h('small', { id: `${control.id}-hint`, class: 'quiet' }, hint);
  if (note) control.setAttribute('aria-describedby', note.id);
  return h('div', { class: 'field' }, h('label', { for: control.id }, label), control, note);
}

/** A checkbox within its label. */
export function check(label, props = {}) {
  const box = h('input', { type: 'checkbox', ...props });
  return { box, node: h('label', { class: 'check' }, box, h('span', {}, label)) };
}

/** A group of radio buttons that look like one switch: values are [value, label] pairs. */
export function choice(legend, values, chosen, changed) {
  const name = `choice-${++ids}`;
  const inputs = values.map(([value, label], i) => {
    const input = h('input', { type: 'radio', name, id: `${name}-${i}`, value, checked: value === chosen, onchange: () => changed(value) });
    return [input, h('label', { for: input.id }, label)];
  });
  const node = h('fieldset', { class: 'switch' }, h('legend', { class: 'unseen' }, legend), inputs);
  return { node, set(value) { for (const [input] of inputs) input.checked = input.value === value; } };
}

export function select(label, values, chosen, changed) {
  const node = h('select', { 'aria-label': label, onchange: () => changed(node.value) },
    values.map(([value, text]) => h('option', { value, selected: value === chosen }, text)));
  return node;
}

/** Calls f once the calls have stopped for a moment. */
export function debounce(f, ms = 250) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
}

/** A button that copies what text() returns, and says so. */
export function copyButton(text, label = 'Copy') {
  const button = h('button', { type: 'button', class: 'small', onclick: async () => {
    try {
      await navigator.clipboard.writeText(text());
      say(button, 'Copied');
    } catch {
      say(button, 'Not allowed');
    }
    announce(button.textContent);
    setTimeout(() => say(button, label), 1500);
  } }, label);
  return button;
}
