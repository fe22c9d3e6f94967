(async () => {
  let seen = null;
  let panel = null;
  const show = (problems) => {
    panel ??= document.body.appendChild(document.createElement("aside"));
    panel.setAttribute("role", "alert");
    panel.style.cssText = "position:fixed;inset:auto 0 0 0;max-height:60vh;overflow:auto;" +
      "z-index:1000;padding:1rem 1.5rem;background:#2b1215;color:#ffdada;" +
      "border-top:4px solid #e5484d;font:14px/1.5 ui-monospace,monospace;white-space:pre-wrap";
    panel.textContent = problems;
  };
  for (;;) {
    try {
      const build = await (await fetch("/__build?" + (seen ?? ""))).json();
      const isNew = seen !== null && build.number !== seen;
      seen = build.number;
      if (build.problems) show(build.problems);
      else if (isNew) return location.reload();
    } catch {
      await new Promise((again) => setTimeout(again, 1000));
    }
  }
})();
