"""A version's lineage as a run event of OpenLineage (spec 2-0-2), so that other tools can read it.

Facets of the standard are used where there is one; what has no term there (gate, approvals, image) is a facet of
our own, with the prefix `mlops_`.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from mlops_workbench import __version__

if TYPE_CHECKING:
    from mlops_workbench.registry.origin import Origin, RowsOrigin

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
PRODUCER = f"urn:mlops-workbench:{__version__}"
_FACETS = "https://openlineage.io/spec/facets"
_TYPES = {
    "double": "double",
    "long": "long",
    "string": "string",
    "boolean": "boolean",
    "datetime": "timestamp",
}


def event(origin: Origin) -> dict[str, Any]:
    """The run that made the version: its rows are inputs, the version is the output."""
    stored, run = origin.stored, origin.run
    namespace = f"mlops-workbench://{origin.project}"
    facets: dict[str, Any] = {
        "processing_engine": _facet(
            "1-1-1/ProcessingEngineRunFacet", version=origin.manifest.python, name="python"
        )
    }
    job: dict[str, Any] = {
        "jobType": _facet(
            "2-0-3/JobTypeJobFacet", processingType="BATCH", integration="MLOPS_WORKBENCH", jobType="TRAINING"
        )
    }
    if run is not None:
        facets["mlops_run"] = _own(name=run.name, parameters=dict(run.params), metrics=dict(run.metrics))
        if commit := run.tags.get("git.commit"):
            job["sourceCodeLocation"] = _facet(
                "1-0-1/SourceCodeLocationJobFacet",
                type="git",
                url=run.tags.get("git.remote", "file:."),
                version=commit,
                branch=run.tags.get("git.branch", ""),
            )
    return {
        "eventType": "COMPLETE",
        "eventTime": stored.created.isoformat(),
        "producer": PRODUCER,
        "schemaURL": SPEC,
        "run": {"runId": str(_uuid(origin)), "facets": facets},
        "job": {"namespace": namespace, "name": stored.name, "facets": job},
        "inputs": [_input(namespace, rows, origin) for rows in origin.data],
        "outputs": [{"namespace": namespace, "name": f"models/{stored.name}", "facets": _version(origin)}],
    }


def _uuid(origin: Origin) -> uuid.UUID:
    """MLflow's run ids are UUIDs without dashes; a version without a run gets one of its own digest."""
    if origin.run is not None:
        return uuid.UUID(origin.run.id)
    return uuid.uuid5(uuid.NAMESPACE_OID, origin.manifest.sha256)


def _facet(schema: str, **values: Any) -> dict[str, Any]:
    version, name = schema.split("/")
    url = f"{_FACETS}/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": url} | values


def _own(**values: Any) -> dict[str, Any]:
    return {
        "_producer": PRODUCER,
        "_schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/BaseFacet",
    } | values


def _input(namespace: str, rows: RowsOrigin, origin: Origin) -> dict[str, Any]:
    fields = [{"name": f.name, "type": _TYPES[f.kind]} for f in origin.manifest.inputs]
    return {
        "namespace": namespace,
        "name": f"snapshots/{rows.name}",
        "facets": {
            "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=rows.sha256),
            "schema": _facet("1-1-1/SchemaDatasetFacet", fields=fields),
            "mlops_role": _own(
                role=rows.what,
                knownAs=[
                    {"name": k.reference, "file": k.source, "revision": k.revision} for k in rows.known_as
                ],
            ),
        },
        "inputFacets": {
            "dataQualityMetrics": _facet(
                "1-0-2/DataQualityMetricsInputDatasetFacet", rowCount=rows.rows, columnMetrics={}
            ),
            "dataQualityAssertions": _facet(
                "1-0-1/DataQualityAssertionsDatasetFacet",
                assertions=[
                    {"assertion": f"contract {c.contract} {c.digest[:12]}", "success": c.passed}
                    for c in rows.contracts
                ],
            ),
        },
    }


def _version(origin: Origin) -> dict[str, Any]:
    seen = origin.gate
    return {
        "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=str(origin.stored.version)),
        "mlops_model": _own(sha256=origin.manifest.sha256, task=origin.manifest.task, state=origin.state),
        "mlops_gate": _own(report=seen.id, digest=seen.digest, passed=seen.passed)
        if seen
        else _own(report=None),
        "mlops_approvals": _own(approvals=[a.to_dict() for a in origin.approvals]),
        "mlops_image": _own(**(origin.image.to_dict() if origin.image else {})),
    }
