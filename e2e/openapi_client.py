#!/usr/bin/env python3
"""Enrolls, verifies, identifies, lists and erases by the client that openapi-python-client generated.

    PYTHONPATH=FOLDER_OF_THE_CLIENT e2e/openapi_client.py URL KEY

Exits with an error if an answer is not as expected.
"""

import sys

from likeness_client import AuthenticatedClient
from likeness_client.api.enrollment import compare, enroll, erase_employee, find_employee, list_employees
from likeness_client.api.operation import ready
from likeness_client.api.recognition import identify, verify
from likeness_client.models import ApplicantForm, ClaimForm, Code, Erasure, PairForm, Problem, ProbeForm
from likeness_client.types import File

from service import PEOPLE

EMPLOYEE = "readme-17"


def photo(name):
    return File(payload=(PEOPLE / name).open("rb"), file_name=name)


def walk(client):
    enrolled = enroll.sync(client=client, body=ApplicantForm(employee_id=EMPLOYEE, photo=photo("p11-a.jpg")))
    assert not isinstance(enrolled, Problem), enrolled
    assert enrolled.employee_id == EMPLOYEE and enrolled.expires_at is None and enrolled.reasons == [], enrolled
    again = enroll.sync(client=client, body=ApplicantForm(employee_id=EMPLOYEE, photo=photo("p11-a.jpg")))
    assert isinstance(again, Problem) and again.code == Code.ALREADY_ENROLLED, again

    decision = verify.sync(client=client, body=ClaimForm(employee_id=EMPLOYEE, photo=photo("p11-b.jpg")))
    assert decision.match and decision.score >= decision.threshold.score and len(decision.face.landmarks) == 5, decision
    found = identify.sync(client=client, body=ProbeForm(photo=photo("p11-c.jpg"), top=1))
    assert found.match.employee_id == EMPLOYEE and len(found.candidates) == 1, found
    others = compare.sync(client=client, body=PairForm(photo_a=photo("p11-a.jpg"), photo_b=photo("p12-a.jpg")))
    assert not others.match and others.similarity < others.threshold.similarity, others

    page = list_employees.sync(client=client, limit=1000)
    assert EMPLOYEE in [employee.employee_id for employee in page.employees] and page.next_ is None, page
    assert find_employee.sync(EMPLOYEE, client=client).model.digest == ready.sync(client=client).model.digest

    receipt = erase_employee.sync(EMPLOYEE, client=client)
    assert receipt.status == Erasure.ERASED and receipt.audit.count > 0, receipt
    assert erase_employee.sync(EMPLOYEE, client=client, receipt=receipt.receipt).audit_id == receipt.audit_id
    gone = find_employee.sync(EMPLOYEE, client=client)
    assert isinstance(gone, Problem) and gone.status == 404 and gone.code == Code.NOT_ENROLLED, gone
    stranger = list_employees.sync(client=AuthenticatedClient(base_url=url, token="no key"))
    assert isinstance(stranger, Problem) and stranger.code == Code.NO_KEY, stranger


if __name__ == "__main__":
    url, key = sys.argv[1:]
    walk(AuthenticatedClient(base_url=url, token=key))
    print("the generated client enrols, verifies, identifies, compares, lists and erases")
