/* The page's templates, filled in. All markup is in the HTML. */

export const $ = (id) => document.getElementById(id);

/** A new element, as the template has it. */
export const clone = (template) => $(template).content.cloneNode(true).firstElementChild;

/** Fill in a template's element. */
export function fill(element, values) {
  const each = (attribute, set) => {
    for (const e of [element, ...element.querySelectorAll(`[data-${attribute}]`)]) {
      if (attribute in e.dataset) set(e, values[e.dataset[attribute]] ?? "");
    }
  };
  each("text", (e, value) => (e.textContent = value));
  each("href", (e, value) => (e.href = value));
  each("picture", (e, value) => Object.assign(e, { src: value, alt: values.title }));
  each("link", (e, value) => (e.dataset.copy = value));
  each("if", (e, value) => (e.hidden = !value));
  return element;
}

export function showProblem(sentence) {
  const notice = fill(clone("problem"), { sentence });
  $("messages").replaceChildren(notice);
  notice.scrollIntoView({ block: "nearest" });
}

/** Show a message that is no problem; screen readers read it out. */
export function showNotice(sentence) {
  $("messages").append(fill(clone("notice"), { sentence }));
}
