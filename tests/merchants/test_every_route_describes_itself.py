"""A program finds in the OpenAPI document what each route takes and answers; and so it is."""

import json

import msgspec
import pytest
from starlette.testclient import TestClient

from gateway.api.v1 import shop_schemas
from gateway.api.v1.openapi import schema_of
from gateway.http.problems import Problem
from tests.api.fixtures import Venue
from tests.merchants.fixtures import World
from tests.merchants.site import OPERATOR_TOKEN, site
from tests.merchants.test_shops_over_rest import NEW_STORE, approve, bearer

SCHEMA = "#/components/schemas/"
PROBLEM = "application/problem+json"
BODILESS = {"/v1/stores/{store_id}/webhook-secret"}
"""POST that takes no body."""


def shops(directory):
    return site(World(directory).venue)


def native(_directory):
    return Venue().app()


@pytest.fixture(params=[shops, native])
def app(request, tmp_path):
    return request.param(tmp_path)


def routes_of(app):
    """Return method and path of each route that programs may ask."""
    paths = schema_of(app)["paths"].items()
    return {(method.upper(), path) for path, operations in paths for method in operations}


def reference(answer, media_type="application/json"):
    """Return the name of the schema of ``answer``."""
    return answer["content"][media_type]["schema"]["$ref"].removeprefix(SCHEMA)


def test_every_route_says_what_it_takes_answers_and_rejects(app):
    document = schema_of(app)
    known = document["components"]["schemas"]
    routes = routes_of(app)
    assert len(routes) >= 10
    for method, path in routes:
        about = document["paths"][path][method.lower()]
        where = f"{method} {path}"
        good = [status for status in about["responses"] if status < "300"]
        assert len(good) == 1, where
        for status, answer in about["responses"].items():
            is_problem = PROBLEM in answer["content"]
            assert reference(answer, PROBLEM if is_problem else "application/json") in known, where
            assert answer["description"], where
            assert is_problem or status in (*good, "503"), where
        assert "429" in about["responses"], f"{where}: each is charged"
        if method == "POST" and path not in BODILESS:
            assert reference(about["requestBody"]) in known, where


def shape_of(app, method, path):
    """Return the Struct that the document names for a good answer."""
    responses = schema_of(app)["paths"][path][method.lower()]["responses"]
    (good,) = (answer for status, answer in responses.items() if status < "300")
    return getattr(shop_schemas, reference(good))


def fits(shape, answer):
    """Return whether an answer is what ``shape`` says, and has no field more."""
    written = msgspec.json.encode(msgspec.json.decode(answer.content, type=shape))
    return json.loads(written) == answer.json()


def test_a_real_answer_of_every_shops_route_is_what_the_document_says(tmp_path):
    app = shops(tmp_path)
    client, asked = TestClient(app), set()

    def ask(method, path, **more):
        real = path.format(**ids)
        answer = client.request(method, real, **more)
        assert fits(shape_of(app, method, path), answer), (path, answer.text)
        stated = schema_of(app)["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in stated, path
        rejected = client.request(method, real, headers=bearer("nobody"), json=more.get("json"))
        assert fits(Problem, rejected) and str(rejected.status_code) in stated, path
        asked.add((method, path))
        return answer.json()

    ids = {}
    made = ask("POST", "/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN))
    ids["store_id"], headers = made["id"], bearer(made["api_key"])
    body = {"signature": approve(client, made)}
    ask("POST", "/v1/stores/{store_id}/approval", json=body, headers=headers)
    body = {"amount_usd": "5", "token": "TOKEN", "metadata": {"cart": [1]}}
    ids["invoice_id"] = ask("POST", "/v1/invoices", json=body, headers=headers)["id"]
    for path in (
        "/v1/stores/{store_id}",
        "/v1/stores/{store_id}/webhook-deliveries",
        "/v1/events",
        "/v1/invoices",
        "/v1/invoices/{invoice_id}",
        "/v1/invoices/{invoice_id}/conversions",
        "/v1/invoices/{invoice_id}/receipt",
    ):
        ask("GET", path, headers=headers)
    ask("POST", "/v1/stores/{store_id}/webhook-secret", headers=headers)
    assert asked == routes_of(app), "all of them"
