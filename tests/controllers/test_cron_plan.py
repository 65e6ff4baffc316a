"""Schedules and what they make of missed times."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi import env
from kapi.controllers.cronjob.plan import (
    find_due,
    job_for,
    job_name,
    plan_history,
    seconds_to_next,
    went_by,
)
from kapi.controllers.cronjob.schedule import (
    UnknownTimeZone,
    UnreadableSchedule,
    parse_schedule,
    time_zone,
)
from kapi.registry.batch.schedule import schedule_error

NEW_YORK = ZoneInfo("America/New_York")


def at(text):
    return datetime.fromisoformat(text + "Z")


def times(schedule, since, count=3, zone=UTC):
    found = islice(parse_schedule(schedule, zone).after(at(since)), count)
    return [time.strftime("%Y-%m-%dT%H:%M:%S") for time in found]


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("*/20 * * * *", ["2026-01-01T00:20:00", "2026-01-01T00:40:00", "2026-01-01T01:00:00"]),
        ("@hourly", ["2026-01-01T01:00:00", "2026-01-01T02:00:00", "2026-01-01T03:00:00"]),
        ("@daily", ["2026-01-02T00:00:00", "2026-01-03T00:00:00", "2026-01-04T00:00:00"]),
        ("@weekly", ["2026-01-04T00:00:00", "2026-01-11T00:00:00", "2026-01-18T00:00:00"]),
        ("@monthly", ["2026-02-01T00:00:00", "2026-03-01T00:00:00", "2026-04-01T00:00:00"]),
        ("@yearly", ["2027-01-01T00:00:00", "2028-01-01T00:00:00", "2029-01-01T00:00:00"]),
        ("@every 90s", ["2026-01-01T00:01:30", "2026-01-01T00:03:00", "2026-01-01T00:04:30"]),
        ("@every 1h30m", ["2026-01-01T01:30:00", "2026-01-01T03:00:00", "2026-01-01T04:30:00"]),
        ("30 6-16/4 ? * mon-FRI",
         ["2026-01-01T06:30:00", "2026-01-01T10:30:00", "2026-01-01T14:30:00"]),
        # A day that fits either field will do, unless one of them is a star.
        ("0 0 13 * 5", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-13T00:00:00"]),
        ("0 0 */10 * 5", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-11T00:00:00"]),
        ("0 0 * * 5", ["2026-01-02T00:00:00", "2026-01-09T00:00:00", "2026-01-16T00:00:00"]),
        ("5/25 3 29 FEB *",
         ["2028-02-29T03:05:00", "2028-02-29T03:30:00", "2028-02-29T03:55:00"]),
        ("0 0 31 2 *", []),
    ],
)  # fmt: skip
def test_times(schedule, expected):
    assert schedule_error(schedule) == ""
    assert times(schedule, "2026-01-01T00:00:00") == expected


def test_daylight_saving_time():
    # 2:30 does not exist on March 8th 2026; 1:30 is there twice on November 1st.
    spring = times("30 2 * * *", "2026-03-07T12:00:00", 2, NEW_YORK)
    assert spring == ["2026-03-09T06:30:00", "2026-03-10T06:30:00"]
    autumn = times("30 1 * * *", "2026-10-31T12:00:00", 3, NEW_YORK)
    assert autumn == ["2026-11-01T05:30:00", "2026-11-01T06:30:00", "2026-11-02T06:30:00"]
    before, after = times("0 9 * * *", "2026-03-07T12:00:00", 2, NEW_YORK)
    assert (before, after) == ("2026-03-07T14:00:00", "2026-03-08T13:00:00")


def test_a_zone_in_the_schedule():
    assert times("TZ=Asia/Tokyo 0 3 * * *", "2026-01-01T00:00:00", 1) == ["2026-01-01T18:00:00"]
    with pytest.raises(UnreadableSchedule, match="unknown time zone Nowhere/Else"):
        parse_schedule("CRON_TZ=Nowhere/Else 0 3 * * *", UTC)


@pytest.mark.parametrize(
    "schedule", ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * * 7", "*/0 * * * *", "a * * * *",
                 "5-1 * * * *", "@sometimes", "@every soon"],
)  # fmt: skip
def test_what_is_no_schedule(schedule):
    assert schedule_error(schedule)
    with pytest.raises(UnreadableSchedule):
        parse_schedule(schedule, UTC)


@pytest.mark.parametrize("name", ["Nowhere/Else", "../etc/passwd", ""])
def test_what_is_no_time_zone(name):
    with pytest.raises(UnknownTimeZone):
        time_zone(name)


def fields():
    def field(low, high):
        one = st.integers(low, high)
        return st.one_of(
            st.just("*"),
            one.map(str),
            st.tuples(one, one).map(lambda pair: f"{min(pair)}-{max(pair)}"),
            st.integers(1, high - low).map(lambda step: f"*/{step}"),
            st.lists(one, min_size=2, max_size=3).map(lambda many: ",".join(map(str, many))),
        )

    return st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))


def fits(expression, local):
    def values(text, low, high):
        found = set()
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = span.partition("-")
            start, end = (low, high) if first == "*" else (int(first), int(last or first))
            found.update(range(start, end + 1, int(step or 1)))
        return found

    minute, hour, day, month, weekday = expression
    days = local.day in values(day, 1, 31), local.isoweekday() % 7 in values(weekday, 0, 6)
    stars = {"*", "*/1"}
    either = day not in stars and weekday not in stars
    return (
        local.minute in values(minute, 0, 59)
        and local.hour in values(hour, 0, 23)
        and local.month in values(month, 1, 12)
        and (any(days) if either else all(days))
    )


@settings(max_examples=60, deadline=None)
@given(fields(), st.sampled_from([UTC, NEW_YORK]), st.integers(0, 60 * 24 * 365))
def test_times_are_those_minutes_that_fit(expression, zone, offset):
    start = at("2026-01-01T00:00:00") + timedelta(minutes=offset)
    schedule = parse_schedule(" ".join(expression), zone)
    end = start + timedelta(hours=30)
    found = []
    for time in schedule.after(start):
        if time > end:
            break
        found.append(time)
    minutes = (start + timedelta(minutes=n) for n in range(1, 30 * 60 + 1))
    assert found == [m for m in minutes if fits(expression, m.astimezone(zone))]


def cron_job(created="2026-01-01T00:00:00", last=None, **spec):
    status = {"lastScheduleTime": f"{last}Z"} if last else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "uid": "u", "namespace": "n",
                     "creationTimestamp": f"{created}Z"},
        "spec": {"schedule": "*/10 * * * *", "jobTemplate": {"spec": {"template": {}}}, **spec},
        "status": status,
    }  # fmt: skip


TENTH = parse_schedule("*/10 * * * *", UTC)


@pytest.mark.parametrize(
    "now, last, deadline, due, missed",
    [
        ("00:05:00", None, None, None, 0),
        ("00:10:00", None, None, "00:10:00", 1),
        ("00:15:00", None, None, "00:10:00", 1),
        ("01:05:00", None, None, "01:00:00", 6),
        ("01:05:00", "01:00:00", None, None, 0),
        ("01:05:00", None, 60, None, 0),
        ("01:00:30", None, 60, "01:00:00", 1),
        ("20:00:01", None, None, "20:00:00", 120),
    ],
)
def test_the_newest_missed_time_is_due(now, last, deadline, due, missed):
    spec = {} if deadline is None else {"startingDeadlineSeconds": deadline}
    found = find_due(
        cron_job(last=f"2026-01-01T{last}" if last else None, **spec),
        TENTH,
        at(f"2026-01-01T{now}"),
    )
    assert found.time == (at(f"2026-01-01T{due}") if due else None)
    assert found.missed == missed
    assert found.too_many == (missed > 100)


def test_uneven_schedules_find_their_newest_time():
    schedule = parse_schedule("30 6-16/4 * * 1-5", UTC)
    # The weekend is longer than the first distance tells.
    found = find_due(cron_job(created="2026-01-02T05:00:00"), schedule, at("2026-01-05T07:00:00"))
    assert found.time == at("2026-01-05T06:30:00")


def test_the_timer_fires_a_moment_after_the_time():
    now = at("2026-01-01T00:05:00")
    assert seconds_to_next(cron_job(), TENTH, now) == pytest.approx(300.1)
    assert seconds_to_next(cron_job(), TENTH, at("2026-01-01T01:05:00")) == pytest.approx(300.1)
    never = parse_schedule("0 0 31 2 *", UTC)
    assert seconds_to_next(cron_job(), never, now) > 86400


def test_the_job_is_named_after_its_time():
    due = at("2026-01-01T00:10:00")
    assert job_name(cron_job(), due) == f"tick-{int(due.timestamp()) // 60}"
    schedule = parse_schedule("10 9 * * *", ZoneInfo("Asia/Tokyo"))
    made = job_for(cron_job(), schedule, due)
    stamp = made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert stamp == "2026-01-01T09:10:00+09:00"
    assert made["metadata"]["ownerReferences"][0]["controller"]


def test_it_can_be_too_late():
    due = at("2026-01-01T00:10:00")
    assert not went_by(due, cron_job(), due + timedelta(days=1))
    late = cron_job(startingDeadlineSeconds=30)
    assert not went_by(due, late, due + timedelta(seconds=30))
    assert went_by(due, late, due + timedelta(seconds=31))


def test_the_oldest_finished_jobs_go():
    def job(name, end, minute):
        started = env.format_time(at("2026-01-01T00:00:00") + timedelta(minutes=minute))
        status = {"startTime": started, "conditions": [{"type": end, "status": "True"}]}
        return {"metadata": {"name": name}, "status": status}

    jobs = [job(f"won-{n}", "Complete", n) for n in (3, 1, 2)]
    jobs += [job(f"lost-{n}", "Failed", n) for n in (5, 4)]
    jobs.append({"metadata": {"name": "running"}, "status": {}})
    owner = cron_job(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=0)
    assert [j["metadata"]["name"] for j in plan_history(owner, jobs)] == [
        "won-1",
        "lost-4",
        "lost-5",
    ]
    assert plan_history(cron_job(), jobs) == []
