"""Use, bills and budgets over the API: JSON, CSV, and what is refused."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from skerry import metering
from skerry.metering import HOUR_NS, Reading
from tests.api.site import Site, tell

GIB = 1 << 30


async def use(site: Site, name: str = "dev", hours: int = 2) -> None:
    """Let a box use one CPU and a GiB of RAM, with 10 GiB on disk; read it every interval."""
    meter, clock = site.meter, site.context.clock
    begun_ns = clock.now_ns()
    while clock.now_ns() < begun_ns + hours * HOUR_NS:
        passed_ns = clock.now_ns() - begun_ns
        await metering.record(
            meter,
            [
                Reading(
                    box_id=f"box_of_{name}", box_name=name, account="me", state="running",
                    taken_ns=clock.monotonic_ns(), epoch="e1", cpu_ns=passed_ns,
                    memory_bytes=GIB, received_bytes=passed_ns // 10**6, sent_bytes=0,
                    stored_bytes=10 * GIB,
                )
            ],
        )  # fmt: skip
        await clock.sleep_ns(meter.interval_ns)


async def ask(site: Site, path: str) -> Any:
    answer = await site.call("GET", path)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


async def change(site: Site, method: str, path: str, body: object = None) -> tuple[int, Any]:
    sent = b"" if body is None else json.dumps(body).encode()
    answer = await site.call(method, path, sent)
    return answer.status, json.loads(answer.body) if answer.body else None


def test_use_is_told_with_its_total(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await use(site)

        told = await ask(site, "/v1/usage?by=hour")
        assert [row["start"][11:16] for row in told["rows"]] == ["22:00", "23:00", "00:00"]
        assert told["total"]["cpu_seconds"] == 7170
        assert told["total"]["memory_byte_seconds"] == 7170 * GIB
        assert (told["total"]["written_bytes"], told["total"]["gap_seconds"]) == (None, 0)
        assert (await ask(site, "/v1/usage?box=dev"))["rows"][0]["box"] == "dev"
        assert (await ask(site, "/v1/usage?account=you"))["rows"] == []

    tell(tmp_path, story)


def test_a_bill_is_the_sum_of_its_lines(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await use(site)
        await use(site, "other", hours=1)

        made = await ask(site, "/v1/bill?prices=sprites&since=24h")
        assert [line["box"] for line in made["lines"]] == ["dev", "other"]
        charges = [each["amount_nanodollars"] for line in made["lines"] for each in line["charges"]]
        assert sum(charges) == made["amount_nanodollars"]
        assert made["lines"][0]["charges"][0] | {"amount_nanodollars": 0, "quantity": 0} == {
            "label": "CPU", "unit": "CPU hour", "price_nanodollars": 70_000_000,
            "amount_nanodollars": 0, "quantity": 0,
        }  # fmt: skip
        assert {each["name"] for each in await ask(site, "/v1/prices")} >= {"sprites", "exe.dev"}

    tell(tmp_path, story)


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/bill?prices=sprites&since=24h"])
def test_csv_is_told_to_who_asks_for_it(tmp_path: Path, path: str) -> None:
    async def story(site: Site) -> None:
        await use(site, "=1+1")

        by_header = await site.call("GET", path, headers={"Accept": "text/csv"})
        by_query = await site.call("GET", path + ("&" if "?" in path else "?") + "format=csv")
        rows = list(csv.DictReader(io.StringIO(by_header.body.decode())))
        assert by_query.body == by_header.body
        assert by_header.headers["content-type"].startswith("text/csv")
        assert {row["box"] for row in rows} == {"'=1+1"}

    tell(tmp_path, story)


def test_a_budget_is_set_told_and_cleared(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        asked = {"box": "dev", "cap_nanodollars": 5 * 10**9, "prices": "sprites", "period": "day"}
        status, made = await change(site, "PUT", "/v1/budgets", asked)
        assert (status, made["state"], made["spent_nanodollars"]) == (200, "ok", 0)
        assert made | asked == made
        status, made = await change(
            site, "PUT", "/v1/budgets", {"account": "me", "cap_cpu_seconds": 1.5}
        )
        assert (status, made["cap_cpu_seconds"], made["period"]) == (200, 1.5, "month")

        assert [each["box"] for each in await ask(site, "/v1/budgets")] == [None, "dev"]
        assert await change(site, "DELETE", "/v1/budgets?box=dev") == (204, None)
        assert len(await ask(site, "/v1/budgets")) == 1

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/usage?since=yesterday", None, 400, "bad_time"),
        ("GET", "/v1/usage?by=year", None, 400, "bad_query"),
        ("GET", "/v1/usage?since=1h&until=2022-01-01", None, 400, "bad_time"),
        ("GET", "/v1/bill?prices=none", None, 404, "no_such_prices"),
        ("PUT", "/v1/budgets", {}, 400, "bad_budget"),
        ("PUT", "/v1/budgets", {"box": "dev"}, 400, "bad_budget"),
        ("PUT", "/v1/budgets", {"box": "x", "cap_cpu_seconds": 1}, 404, "box_not_found"),
        ("PUT", "/v1/budgets", {"box": "dev", "cap_cpu_seconds": 0}, 400, "bad_body"),
        ("PUT", "/v1/budgets", {"box": "dev", "cap_cpu_seconds": 1e-9}, 400, "bad_budget"),
        ("PUT", "/v1/budgets", {"box": "dev", "cap_nanodollars": 1 << 70}, 400, "bad_body"),
        (
            "PUT", "/v1/budgets", {"account": "a", "cap_nanodollars": 1, "prices": "none"}, 404,
            "no_such_prices",
        ),
        (
            "PUT", "/v1/budgets", {"box": "dev", "cap_cpu_seconds": 1, "prices": "sprites"}, 400,
            "bad_budget",
        ),
        ("DELETE", "/v1/budgets", None, 400, "bad_budget"),
        ("DELETE", "/v1/budgets?account=none", None, 404, "budget_not_found"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, method: str, path: str, body: object, status: int, code: str
) -> None:
    async def story(site: Site) -> None:
        found, told = await change(site, method, path, body)

        assert (found, told["error"]) == (status, code)

    tell(tmp_path, story)


def test_only_an_administrator_sets_budgets(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        body = b'{"box": "dev", "cap_cpu_seconds": 1}'

        assert (await site.call("PUT", "/v1/budgets", body, scope="write")).status == 403
        assert (await site.call("DELETE", "/v1/budgets?box=dev", scope="write")).status == 403
        assert (await site.call("GET", "/v1/usage", scope="read")).status == 200

    tell(tmp_path, story)
