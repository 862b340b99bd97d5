// The colour scheme that was chosen, before anything is painted. The button that changes it is in main.js.
try {
  const scheme = localStorage.getItem('sluice-scheme');
  if (scheme === 'light' || scheme === 'dark') document.documentElement.dataset.scheme = scheme;
} catch {
  // storage is forbidden: the system's scheme it is
}
