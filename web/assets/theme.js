// Sets the remembered theme before anything is painted; without one the system's choice stands.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  } catch {
    // Storage may be switched off; the theme is then not remembered.
  }
})();
