/**
 * Text that a model, a tool or a person wrote, made safe to look at: what a page would act upon becomes a visible sign.
 *
 * In: any string. Out: the same string with controls, changes of writing direction and halves of characters replaced, as
 * `workbench/visible.py` does. Views write text into the page as text, never as markup.
 */

const ACTING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

export function visible(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(ACTING, sign);
}

export function oneLine(text: string, limit = Infinity): string {
  const line = visible(text).replace(/\s+/g, " ").trim();
  return line.length <= limit ? line : `${line.slice(0, Math.max(0, limit - 1))}…`;
}

function sign(found: string): string {
  const code = found.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return code === 0x2028 || code === 0x2029 ? "\n" : "\ufffd";
}
