"""Latency and memory of the version on the real runtime, as a client sees them."""

from __future__ import annotations

from mlops_workbench.base.errors import MlopsError
from mlops_workbench.config.gate import LatencyPolicy
from mlops_workbench.registry.checks.check import GateContext
from mlops_workbench.registry.checks.result import Check, unknown


def latency(policy: LatencyPolicy, context: GateContext) -> list[Check]:
    """A check a limit of the policy; nothing is started when it sets none."""
    asked = {"latency": policy.p99_ms, "memory": policy.memory_mb}
    limits = {"latency": f"≤ {policy.p99_ms:g} ms", "memory": f"≤ {policy.memory_mb:g} MB"}
    names = [name for name, limit in asked.items() if limit]
    if not names:
        return []
    if context.measure is None:
        return [unknown(name, "no serving runtime was handed in", limits[name]) for name in names]
    try:
        found = context.measure(policy.rows)
    except MlopsError as problem:
        reason = problem.message.splitlines()[0].removesuffix(" Its log ends:").rstrip(".")
        return [unknown(name, reason, limits[name], problem.next_step) for name in names]
    size = f"{policy.rows:,} row{'s' if policy.rows != 1 else ''}"
    checks = {
        "latency": Check(
            "latency",
            found.p99_ms <= policy.p99_ms,
            f"p99 {found.p99_ms:.1f} ms",
            limits["latency"],
            f"{found.requests} requests of {size}, half within {found.p50_ms:.1f} ms",
            evidence={"requests": found.requests, "p50_ms": found.p50_ms, "p99_ms": found.p99_ms},
            next_step="Measure again on a quiet machine, or make the model smaller.",
        ),
        "memory": Check(
            "memory",
            found.memory_mb <= policy.memory_mb,
            f"{found.memory_mb:.0f} MB",
            limits["memory"],
            "resident, after the requests",
            evidence={"memory_mb": found.memory_mb},
            next_step="Make the model smaller.",
        ),
    }
    return [checks[name] for name in names]
