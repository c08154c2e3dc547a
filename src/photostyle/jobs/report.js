"use strict";

for (const input of document.querySelectorAll(".slider input"))
  input.addEventListener("input", () => input.parentElement.style.setProperty("--at", `${input.value}%`));

const table = document.querySelector("table");
const heads = table ? [...table.querySelectorAll("thead th")] : [];

// Numbers by value, what is missing always last.
function order(column, sign) {
  return (a, b) => {
    const [first, second] = [a, b].map((row) => row.cells[column].dataset.value);
    if (first === "" || second === "") return (first === "") - (second === "");
    const difference = Number(first) - Number(second);
    return sign * (Number.isNaN(difference) ? first.localeCompare(second) : difference);
  };
}

heads.forEach((head, column) =>
  head.querySelector("button").addEventListener("click", () => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].sort(order(column, ascending ? 1 : -1));
    table.tBodies[0].append(...rows);
    const cards = rows.map((row) => document.getElementById(row.dataset.card));
    document.querySelector(".cards").append(...cards);
  }),
);
