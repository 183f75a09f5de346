/** Making and changing nodes. Text goes into the page through `textContent` only. */

import { visible } from "../core/visible.ts";

export type Attributes = { [name: string]: string | number | boolean | ((event: any) => void) | undefined };

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  children: (Node | string)[] = [],
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  decorate(node, attributes);
  for (const child of children) node.append(typeof child === "string" ? visible(child) : child);
  return node;
}

export function makeSvg(tag: string, attributes: Attributes = {}, children: Node[] = []): SVGElement {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  decorate(node, attributes);
  node.append(...children);
  return node;
}

function decorate(node: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Change the text of a node if it is another one. */
export function write(node: Node, value: string | number): void {
  const text = visible(String(value));
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string): void {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function show(node: HTMLElement | SVGElement, shown: boolean): void {
  if (node.hasAttribute("hidden") === shown) node.toggleAttribute("hidden", !shown);
}

/** Show these nodes, in this order. One that stands right already is not touched: it keeps its focus and the click that has begun. */
export function arrange(place: Element, nodes: Element[]): void {
  const wanted = new Set(nodes);
  for (const child of [...place.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, at) => {
    if (place.children[at] !== node) place.insertBefore(node, place.children[at] ?? null);
  });
}

/** A menu that opens and closes as such: Escape closes it, and so does whatever happens elsewhere in the page. */
export function closesItself(menu: HTMLDetailsElement): void {
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary")!.focus();
    event.stopPropagation();
  });
  const elsewhere = (event: Event): void => {
    if (!menu.isConnected || !menu.contains(event.target as Node)) menu.open = false;
  };
  // Heard only while it is open: a page holds many menus.
  menu.addEventListener("toggle", () => {
    for (const kind of ["pointerdown", "focusin"]) {
      if (menu.open) document.addEventListener(kind, elsewhere, true);
      else document.removeEventListener(kind, elsewhere, true);
    }
  });
}

let lastId = 0;

/** An id for this page, to point labels at. */
export function freshId(): string {
  lastId += 1;
  return `wb-${lastId}`;
}

/** Do `work` in the next frame, once, however often it was asked for until then. */
export class NextFrame {
  private asked = 0;
  private timer = 0;

  constructor(
    private readonly work: () => void,
    private readonly atLeastMs = 0,
  ) {}

  private last = 0;

  ask(): void {
    if (this.asked || this.timer) return;
    const wait = this.atLeastMs - (performance.now() - this.last);
    if (wait > 0) {
      this.timer = window.setTimeout(() => {
        this.timer = 0;
        this.ask();
      }, wait);
      return;
    }
    // A page in the background gets no frames; what is there when it comes back is drawn then.
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.last = performance.now();
      this.work();
    });
  }

  cancel(): void {
    cancelAnimationFrame(this.asked);
    clearTimeout(this.timer);
    this.asked = this.timer = 0;
  }
}
