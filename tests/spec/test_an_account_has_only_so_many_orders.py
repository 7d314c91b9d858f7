"""How many orders may one account leave in the books?"""

from engine import core
from engine.commands import Kind, command
from tests.ladder import IOC, NAMES, SMALL, Driver
from tests.spec.conftest import Build

REFUSED = ["refused: ACCOUNT_ORDERS_EXHAUSTED"]


def full(build: Build) -> Driver:
    """Return a driver at which Alice has all the orders that she may have."""
    driver = Driver(build(SMALL._replace(account_orders=3)))
    driver.rest("120 sell Bob 5\n100 buy Alice 1\n99 buy Alice 1")
    assert driver.stop("Alice", "buy", 1, 130, 125) == ["waits 1 at 130 from 125"]
    return driver


def test_one_more_that_would_rest_or_wait_is_refused(build: Build) -> None:
    driver = full(build)

    assert driver.buy("Alice", 1, 98) == REFUSED
    assert driver.buy("Alice", 1, 120) == REFUSED, "it might rest"
    assert driver.stop("Alice", "buy", 1, 130, 126) == REFUSED
    assert driver.buy("Carol", 1, 98) == ["rests 1 at 98"]
    driver.engine.check()


def test_what_lives_for_a_moment_is_taken(build: Build) -> None:
    driver = full(build)

    assert driver.buy("Alice", 1, 120, **IOC) == ["1 at 120 with Bob"]
    driver.engine.check()


def test_a_replacement_takes_the_place_of_the_old_one(build: Build) -> None:
    driver = full(build)

    said = driver.replace("Alice", driver.id_of("Alice", 99), 2, 97)

    assert said == ["Alice leaves 1 at 99: REPLACED", "rests 2 at 97"]


def test_each_way_out_makes_room(build: Build) -> None:
    ways = {
        "cancelled": lambda driver: driver.cancel("Alice", driver.id_of("Alice", 100)),
        "filled": lambda driver: driver.sell("Carol", 1, 100),
        "all": lambda driver: driver.cancel_all("Alice"),
        "left": lambda driver: driver.send(
            command(Kind.EXIT_BEGIN, account=NAMES.index("Alice")),
            command(Kind.EXIT_END, account=NAMES.index("Alice")),
        ),
    }
    for way, out in ways.items():
        driver = full(build)
        out(driver)
        assert driver.buy("Alice", 1, 50) == ["rests 1 at 50"], way
        driver.engine.check()


def test_an_engine_restored_goes_on_counting() -> None:
    driver = full(core.Engine)
    limits = SMALL._replace(account_orders=3)
    driver.engine = core.Engine.restore(limits, driver.engine.image())

    assert driver.buy("Alice", 1, 98) == REFUSED
    driver.engine.check()
