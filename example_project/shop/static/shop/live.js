// Keeps every element with data-refresh up to date while somebody looks at it.
for (const place of document.querySelectorAll("[data-refresh]")) {
  setInterval(async () => {
    if (document.hidden || place.contains(document.activeElement)) return;
    try {
      const answer = await fetch(place.dataset.refresh);
      if (!answer.ok) return;
      const text = await answer.text();
      if (text !== place.innerHTML) place.innerHTML = text;
    } catch (error) {
      // The site is away; the next round asks again.
    }
  }, 1000);
}
