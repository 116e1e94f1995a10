"""An agent of Pydantic AI behind one AG-UI endpoint.

    pip install 'pydantic-ai-slim[ag-ui]' uvicorn
    uvicorn pydantic_ai_agent:app --port 8000
    copilotkit-runtime --agent http://127.0.0.1:8000/
"""

import os

from pydantic_ai import Agent
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# "test" answers without a key: it calls every tool once and says what they returned.
agent = Agent(os.environ.get("MODEL", "test"), instructions="You work in our shop. Be brief.")


@agent.tool_plain
def stock(product: str) -> int:
    """How many of a product the shop has."""
    return len(product)


async def run(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=agent)


app = Starlette(routes=[Route("/", run, methods=["POST"])])
