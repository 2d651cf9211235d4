// @ts-check
/** Tells when an element has another size, comes into sight, or has to be drawn in another way. */

const NEAR = "200px"; // what is as near to the part that is seen counts as seen

/**
 * @param {Element} element
 * @param {object} does
 * @param {(width: number, height: number) => void} does.size
 * @param {(seen: boolean) => void} does.sight
 * @param {() => void} does.redraw dark has become light, or the screen another one
 * @param {AbortSignal} signal
 */
export function watch(element, does, signal) {
  const sizes = new ResizeObserver(([{ contentRect }]) => does.size(contentRect.width, contentRect.height));
  sizes.observe(element);
  const sight = new IntersectionObserver((entries) => does.sight(entries[entries.length - 1].isIntersecting), {
    rootMargin: NEAR,
  });
  sight.observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", does.redraw, { signal });
  const onScreen = () => {
    const own = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    const change = () => {
      does.redraw();
      onScreen();
    };
    own.addEventListener("change", change, { signal, once: true });
  };
  onScreen();
  signal.addEventListener("abort", () => {
    sizes.disconnect();
    sight.disconnect();
  });
}
