"""The list of employees: search, pages, erasure and its receipt."""

import json
import sqlite3

from service import PEOPLE

from .chromium import wait
from .page import enroll, require


def employees(walk, console):
    console.open("employees")
    console.shows(".found", "3 employees.")
    console.shows("table", "likeness-encoder")
    for beginning, found in [
        ("e-19", "1 employee with an ID starting with e-19."), ("e-", "3 employees with an ID starting with e-."),
        ("-", "No employees with an ID starting with -."), ("e-1/", "No employees with an ID starting with e-1/."), ("", "3 employees."),
    ]:
        console.value("document.querySelector('#search').value = ''")
        console.click("#search")
        console.type(beginning)
        console.press("Enter")
        console.shows(".found", found)
    walk.step(console, "the list")
    console.offline(True)
    console.push("Search")
    console.shows(".found", "The service does not respond.")
    console.offline(False)
    console.push("Search")
    console.shows(".found", "3 employees.")

    console.value("instead['/employees/e-18'] = { status: 502, body: '' }")
    console.erase("e-18")
    console.shows(".found", "answered instead of the service")
    console.value("instead = {}")
    console.erase("e-18")
    console.shows(".receipts", "e-18 is erased.")
    console.shows(".found", "2 employees.")
    walk.step(console, "erased with a receipt")
    console.click('nav a[href="#verify"]')
    console.click('nav a[href="#employees"]')
    console.shows(".receipts", "e-18 is erased.")
    console.reload()
    wait(lambda: console.holds("true") and console.asked == ["beforeunload"], lambda: "the browser asks before a receipt is lost")


def held_up(walk, console, database):
    """Erases while another program reads the database."""
    console.open("enroll")
    console.enroll("e-21", PEOPLE / "p10-b.jpg")
    reader = sqlite3.connect(database)
    reader.execute("begin")
    reader.execute("select * from template").fetchall()
    console.open("employees")
    console.erase("e-21")
    console.shows(".receipts", "the remaining bytes are erased once another program releases")
    walk.step(console, "erasing is held up")
    reader.close()
    for _ in range(20):
        console.push("Check again")
        console.value("new Promise((done) => setTimeout(done, 500))")
        if "e-21 is erased." in console.text(f"{console.here} .receipts"):
            break
    console.shows(".receipts", "e-21 is erased.")
    receipt = saved(console, "e-21")
    require(receipt["employee_id"] == "e-21" and receipt["status"] == "erased" and receipt["receipt"], f"the saved receipt: {receipt}")


def saved(console, employee):
    console.tab_to("Save receipt")
    console.press("Enter")
    file = console.downloads / f"receipt-{employee}.json"
    wait(file.exists, lambda: "the receipt is saved")
    return json.loads(file.read_text())


def paging(walk, console):
    for number in range(60):
        enroll(console.url, f"p-{number:02}", "p01-a.jpg", confirm_lookalike="true")
    console.open("employees")
    console.shows(".found", "50 employees on page 1.")
    console.push("Next")
    console.shows(".found", "10 employees on page 2.")
    console.shows("table", "p-59")
    console.focus_is("Previous")
    console.press("Enter")
    console.shows(".found", "50 employees on page 1.")
    console.fill("#search", "p-5")
    console.press("Enter")
    console.shows(".found", "10 employees with an ID starting with p-5.")
    for employee, left in [("p-55", "9"), ("p-50", "8")]:
        console.erase(employee)
        console.shows(".found", f"{left} employees with an ID starting with p-5.")
    require(console.value(f"document.querySelectorAll('{console.here} article').length") == 2, "a receipt is lost")
    walk.step(console, "page by page")
