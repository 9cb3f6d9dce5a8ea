// Starts Swagger UI with the document beside this page, and asks no other host for anything.
window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({
    dom_id: "#docs",
    url: new URL("openapi.json", window.location.href).href,
    validatorUrl: null,
    deepLinking: true,
    tryItOutEnabled: true,
  });
});
