"""FastAPI in front of ONNX Runtime: `MODEL=logistic.onnx uvicorn fastapi_app:app`."""

from fastapi import FastAPI
from pydantic import BaseModel

from onnx_model import OnnxModel


class Row(BaseModel):
    """A row; the types are checked, as the other servers do."""

    miles: float
    minutes: float
    fare: float
    tip: float
    tolls: float
    hour: float
    weekday: float
    passengers: float
    temperature: float
    payment: str
    company: str
    pickup: str
    dropoff: str
    weather: str
    service: str


class Rows(BaseModel):
    """A request."""

    instances: list[Row]


app = FastAPI()
model = OnnxModel()


@app.post("/predict")
async def predict(rows: Rows):
    """Answers."""
    return {"predictions": model.predict([row.__dict__ for row in rows.instances])}
