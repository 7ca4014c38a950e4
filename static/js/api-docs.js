/* The REST interface in Swagger UI: with the token that is given under "Authorize", or with the session of this browser. */
(() => {
  const place = document.getElementById("swagger-ui");

  function followTheme() {
    document.documentElement.classList.toggle("dark-mode", document.documentElement.dataset.theme === "dark");
  }

  document.addEventListener("themechange", followTheme);
  followTheme();
  SwaggerUIBundle({
    url: place.dataset.schema,
    domNode: place,
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    defaultModelsExpandDepth: -1,
    persistAuthorization: false,
    validatorUrl: null,
    requestInterceptor(request) {
      if (request.method && request.method !== "GET") {
        request.headers["X-CSRFToken"] = place.dataset.csrf;
      }
      return request;
    },
  });
})();
