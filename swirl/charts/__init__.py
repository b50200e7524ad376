"""Charts of incidents, as pictures: for Slack, files and notebooks. They need the extra ``charts``.

In a notebook, with an engine that watches in this process::

    from swirl.charts import Picture

    Picture.of(engine.board.view("ads"))
"""

from __future__ import annotations

from swirl.charts.picture import Picture, draw
from swirl.charts.telling import Deployment, deployments, telling

__all__ = ["Deployment", "Picture", "deployments", "draw", "telling"]
