const SIGNS = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** Source code as markup. */
export const shown = (tag, source) => `<${tag}>${source.replace(/[&<>]/g, (sign) => SIGNS[sign])}</${tag}>`;
