"""Quotas: what is refused, what is booked, and who wins a race."""

import asyncio
from typing import Any

QUOTAS = "/api/v1/namespaces/{}/resourcequotas"
MAPS = "/api/v1/namespaces/{}/configmaps"


async def make_quota(api: Any, namespace: str, **hard: str) -> None:
    """A quota whose usage is known, as the quota controller leaves it."""
    path = QUOTAS.format(namespace)
    named = {name.replace("_", "/"): value for name, value in hard.items()}
    body = {"metadata": {"name": "q"}, "spec": {"hard": named}}
    created = (await api.admin("POST", path, body)).body
    created["status"] = {"hard": named, "used": dict.fromkeys(named, "0")}
    assert (await api.admin("PUT", f"{path}/q/status", created)).status == 200


async def used(api: Any, namespace: str) -> Any:
    return (await api.admin("GET", f"{QUOTAS.format(namespace)}/q")).body["status"]["used"]


async def create(api: Any, namespace: str, name: str, **params: str) -> Any:
    body = {"metadata": {"name": name}}
    return await api.admin("POST", MAPS.format(namespace), body, **params)


async def test_a_quota_whose_usage_is_unknown_refuses_what_it_counts(api, namespace):
    await make_quota(api, namespace, count_secrets="5")
    path = f"{QUOTAS.format(namespace)}/q"
    quota = (await api.admin("GET", path)).body
    del quota["status"]["used"]
    await api.admin("PUT", f"{path}/status", quota)
    secret = {"metadata": {"name": "s"}}
    answer = await api.admin("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    assert answer.message == (
        'secrets "s" is forbidden: status unknown for quota: q, resources: count/secrets'
    )
    assert (await create(api, namespace, "a")).status == 201


async def test_a_quota_holds_from_its_first_count_on(api, namespace):
    body = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "0"}}}
    await api.admin("POST", QUOTAS.format(namespace), body)
    assert (await create(api, namespace, "a")).status == 201


async def test_usage_is_booked_and_the_limit_holds(api, namespace):
    await make_quota(api, namespace, count_configmaps="1")
    assert (await create(api, namespace, "a")).status == 201
    assert await used(api, namespace) == {"count/configmaps": "1"}
    answer = await create(api, namespace, "b")
    assert (answer.status, answer.message) == (
        403,
        'configmaps "b" is forbidden: exceeded quota: q, requested: count/configmaps=1, '
        "used: count/configmaps=1, limited: count/configmaps=1",
    )


async def test_a_dry_run_books_nothing(api, namespace):
    await make_quota(api, namespace, count_configmaps="1")
    assert (await create(api, namespace, "a", dryRun="All")).status == 201
    assert await used(api, namespace) == {"count/configmaps": "0"}


async def test_of_many_writers_as_many_win_as_there_is_room(api, namespace):
    await make_quota(api, namespace, count_configmaps="5")
    answers = await asyncio.gather(*(create(api, namespace, f"m{n}") for n in range(20)))
    codes = sorted(answer.status for answer in answers)
    assert codes == [201] * 5 + [403] * 15
    assert await used(api, namespace) == {"count/configmaps": "5"}
