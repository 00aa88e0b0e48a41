"""race.py - contenders that answer the same queries by turns, at several efforts each, until each has one around the recall that is the goal.

The first turn scouts (and warms the caches): it finds which efforts are worth the time, and its times count for nothing. A row that is found
counts as right when it is no farther away than the k-th of the exact answer, so that equal distances do not decide; the same row twice counts once.
"""

import statistics
import time

from contenders import query_of

SLACK = 1e-5  # between a distance of ours and one of the server's, both of 32-bit floats
SCOUTS = 40  # queries


class Effort:
    """What one contender did at one setting."""

    def __init__(self, contender, effort):
        self.contender, self.effort = contender, effort
        self.start_over()

    def start_over(self):
        self.seconds, self.cpu, self.hits, self.wanted = [], 0.0, 0, 0

    @property
    def recall(self):
        return self.hits / self.wanted if self.wanted else 1.0

    def result(self):
        ordered = sorted(self.seconds)
        return {"effort": self.effort, "recall": self.recall, "p50_ms": statistics.median(ordered) * 1e3,
                "p95_ms": ordered[int(len(ordered) * 0.95)] * 1e3, "cpu_ms": self.cpu / len(ordered) * 1e3}


class Race:
    def __init__(self, vectors, contenders, k, goal, turns, column, share):
        self.vectors, self.contenders, self.k, self.goal, self.turns, self.share = vectors, contenders, k, goal, turns, share
        self.column = column if share < 1 else None
        self.queries = [query_of(q) for q in vectors.queries]
        tenants = vectors.tenants_of(column, share)
        self.tenants = [tenants[i % len(tenants)] for i in range(len(self.queries))]
        exact = {t: vectors.exact(k, column, t) for t in set(self.tenants)}
        self.exact = [exact[t][i] for i, t in enumerate(self.tenants)]
        self.efforts = []

    def ask(self, effort, which):
        contender = effort.contender
        contender.effort(effort.effort)
        names = {i: None if self.tenants[i] is None else f"tenant/{self.tenants[i]:05d}" for i in which}
        answers, before = [], contender.cpu()
        for i in which:
            start = time.perf_counter()
            rows = contender.ask(self.queries[i], self.k, self.column, names[i])
            effort.seconds.append(time.perf_counter() - start)
            answers.append(rows)
        effort.cpu += contender.cpu() - before
        for i, rows in zip(which, answers):
            effort.hits += self.right(i, rows)
            effort.wanted += len(self.exact[i])

    def right(self, i, rows):
        found = list({int(row[1].rpartition("/")[2]) for row in rows})
        if not found or len(self.exact[i]) == 0:
            return 0
        return int((self.vectors.distance(i, found) <= self.exact[i][-1] + SLACK).sum())

    def scout(self, contender):
        """Efforts from the last that is clearly too little to the second that is enough."""
        chosen, enough = [], 0
        for n in contender.ladder:
            effort = Effort(contender, n)
            self.ask(effort, range(min(SCOUTS, len(self.queries))))
            if effort.recall < self.goal - 0.03:
                chosen = []
            chosen.append(effort)
            enough += effort.recall >= self.goal
            if effort.recall > 0.995 or (enough == 2 and effort.recall > self.goal + 0.006):
                break
        return chosen

    def run(self):
        """All efforts, as dictionaries."""
        for contender in self.contenders:
            contender.open()
            self.efforts += self.scout(contender)
        for effort in self.efforts:
            effort.start_over()
        for turn in range(self.turns):
            for effort in self.efforts:
                self.ask(effort, range(turn, len(self.queries), self.turns))
        return [{"what": e.contender.name, "share": self.share, **e.result()} for e in self.efforts]

    def at_goal(self):
        """For each contender what it costs at the goal; one that has a recall of its own is compared with the first at that recall."""
        lines, base = [], None
        for contender in self.contenders:
            points = [e.result() for e in self.efforts if e.contender is contender]
            base = base or points
            found = meet(points, self.goal)
            other = meet(base, found["recall"])
            lines.append({"what": contender.name, "share": self.share, **found, "of_recall": other["recall"],
                          "p50_ratio": found["p50_ms"] / other["p50_ms"], "cpu_ratio": found["cpu_ms"] / other["cpu_ms"]})
        return lines


def meet(points, recall):
    """Between the last point below the recall and the next; the first or the last point where there is no such pair."""
    for below, above in zip(points, points[1:]):
        if below["recall"] < recall <= above["recall"]:
            part = (recall - below["recall"]) / (above["recall"] - below["recall"])
            return {name: below[name] + part * (above[name] - below[name]) for name in below}
    return points[0] if points[0]["recall"] >= recall else points[-1]
