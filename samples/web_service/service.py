"""A web service that publishes events and answers for its data plane.

Run it: EXPERIMENTS=experiments.yaml uvicorn service:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from experiment_framework import DataPlane, Exposure
from experiment_framework.metrics import PROMETHEUS_CONTENT_TYPE, prometheus_text
from experiment_framework.probes import Answer, liveness, readiness
from fastapi import FastAPI, Request, Response


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with DataPlane.from_config(os.environ["EXPERIMENTS"]) as plane:
        app.state.plane = plane
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/checkout/{user}")
async def checkout(user: str, request: Request) -> dict[str, str]:
    variant = "green" if len(user) % 2 else "blue"
    request.app.state.plane.publish(
        Exposure(experiment_name="checkout", variant_key=variant, subject_id=user)
    )
    return {"button": variant}


@app.get("/live")
async def live(request: Request) -> Response:
    return answered(liveness(request.app.state.plane))


@app.get("/ready")
async def ready(request: Request) -> Response:
    return answered(readiness(request.app.state.plane))


@app.get("/metrics")
async def metrics(request: Request) -> Response:
    text = prometheus_text(request.app.state.plane)
    return Response(text, media_type=PROMETHEUS_CONTENT_TYPE)


def answered(answer: Answer) -> Response:
    return Response(answer.body, answer.status, media_type=answer.content_type)
