"use strict";
(() => {
  const said = document.getElementById("said");
  const end = document.getElementById("end");
  end.addEventListener("click", () => {
    end.disabled = true;
    fetch(location.pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Monkit-Action": "1" },
      body: "{}",
    }).then(
      (answer) => {
        if (answer.ok || answer.status === 401) {
          end.remove();
          said.textContent = "Signed out. To come back, ask the program for a new sign-in address.";
        } else {
          end.disabled = false;
          said.textContent = `Still signed in: the port answered ${answer.status}.`;
        }
      },
      () => {
        end.disabled = false;
        said.textContent = "Still signed in: the port does not answer.";
      },
    );
  });
})();
