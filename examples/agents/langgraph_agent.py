"""A LangGraph graph behind one AG-UI endpoint.

    pip install ag-ui-langgraph fastapi uvicorn
    uvicorn langgraph_agent:app --port 8001
    copilotkit-runtime --agent http://127.0.0.1:8001/
"""

import os

from ag_ui_langgraph import LangGraphAgent, add_langgraph_fastapi_endpoint
from fastapi import FastAPI
from langchain.chat_models import init_chat_model
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import START, MessagesState, StateGraph

# Without MODEL the answer is always the same, and no key is needed.
name = os.environ.get("MODEL")
model = init_chat_model(name) if name else FakeListChatModel(responses=["Hello from the graph."])


async def answer(state: MessagesState) -> MessagesState:
    return {"messages": [await model.ainvoke(state["messages"])]}


# The adapter asks for a checkpointer, in which the graph keeps what it knows of a thread.
graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile(checkpointer=MemorySaver())

app = FastAPI()
add_langgraph_fastapi_endpoint(app, LangGraphAgent(name="shop", graph=graph), "/")
