"use strict";
(() => {
  const said = document.getElementById("said");
  const code = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  if (!code) {
    said.textContent = "This address has no code. Ask the program for a new sign-in address.";
    return;
  }
  fetch(location.pathname, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Monkit-Action": "1" },
    body: JSON.stringify({ code }),
  }).then(
    (answer) => {
      if (answer.ok) {
        location.replace(location.pathname.replace(/\/sign-in\/?$/, "/"));
      } else {
        said.textContent = "The code is unknown, used or expired. Ask the program for a new sign-in address.";
      }
    },
    () => {
      said.textContent = "The port does not answer.";
    },
  );
})();
