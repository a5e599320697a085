"""Who may call what: every method of every service, and the role that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """What a token is for; `ADMIN` may call everything."""

    RANK = "rank"
    EVENTS = "events"
    READ = "read"
    ADMIN = "admin"


# Load balancers ask for health, and have no token.
OPEN_PREFIX = "/grpc.health.v1.Health/"

_RANKING = "/ranklift.v1.RankingService/"
_EVENTS = "/ranklift.v1.EventService/"
_EXPERIMENTS = "/ranklift.v1.ExperimentService/"
_LIFT = "/ranklift.v1.LiftService/"
_MODELS = "/ranklift.v1.ModelService/"
_RETRAINING = "/ranklift.v1.RetrainingService/"
_INFERENCE = "/inference.GRPCInferenceService/"

ROLE_OF: Mapping[str, Role] = {
    _RANKING + "Rank": Role.RANK,
    _EXPERIMENTS + "LookupAssignments": Role.RANK,
    _INFERENCE + "ServerLive": Role.RANK,
    _INFERENCE + "ServerReady": Role.RANK,
    _INFERENCE + "ServerMetadata": Role.RANK,
    _INFERENCE + "ModelReady": Role.RANK,
    _INFERENCE + "ModelMetadata": Role.RANK,
    _INFERENCE + "ModelInfer": Role.RANK,
    _EVENTS + "RecordEvents": Role.EVENTS,
    _EVENTS + "StreamEvents": Role.EVENTS,
    _EXPERIMENTS + "GetExperiment": Role.READ,
    _EXPERIMENTS + "ListExperiments": Role.READ,
    _EXPERIMENTS + "ListLayers": Role.READ,
    _LIFT + "GetLiftReport": Role.READ,
    _LIFT + "GetPreferenceReport": Role.READ,
    _MODELS + "GetModelVersion": Role.READ,
    _MODELS + "ListModelVersions": Role.READ,
    _MODELS + "GetChampion": Role.READ,
    _MODELS + "ListLoadedModelVersions": Role.READ,
    _RETRAINING + "ListSchedules": Role.READ,
    _RETRAINING + "GetRun": Role.READ,
    _RETRAINING + "ListRuns": Role.READ,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Role.READ,
    _EXPERIMENTS + "CreateExperiment": Role.ADMIN,
    _EXPERIMENTS + "UpdateExperiment": Role.ADMIN,
    _EXPERIMENTS + "StartExperiment": Role.ADMIN,
    _EXPERIMENTS + "RampExperiment": Role.ADMIN,
    _EXPERIMENTS + "PauseExperiment": Role.ADMIN,
    _EXPERIMENTS + "ConcludeExperiment": Role.ADMIN,
    _EXPERIMENTS + "UpdateLayer": Role.ADMIN,
    _MODELS + "RegisterModelVersion": Role.ADMIN,
    _MODELS + "SetChampion": Role.ADMIN,
    _MODELS + "LoadModelVersion": Role.ADMIN,
    _MODELS + "UnloadModelVersion": Role.ADMIN,
    _RETRAINING + "PutSchedule": Role.ADMIN,
    _RETRAINING + "DeleteSchedule": Role.ADMIN,
    _RETRAINING + "RunSchedule": Role.ADMIN,
}


def needed(method: str) -> Role:
    """Return the role that `method` ("/package.Service/Method") needs; admin where none is said."""
    return ROLE_OF.get(method, Role.ADMIN)


def changes(method: str) -> bool:
    """Return whether `method` changes something, so that the audit log tells of it."""
    return not method.startswith(OPEN_PREFIX) and needed(method) is Role.ADMIN
