"""One echoing WebSocket at ``/ws``, in each framework."""


def starlette():
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return Starlette(routes=[WebSocketRoute("/ws", echo)])


def fastapi():
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()

    @app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect:
            pass

    return app


def litestar():
    from litestar import Litestar, websocket_listener

    async def echo(data: str) -> str:
        return data

    return Litestar([websocket_listener("/ws")(echo)])


def quart():
    from quart import Quart, websocket

    app = Quart(__name__)

    @app.websocket("/ws")
    async def echo():
        while True:
            await websocket.send(await websocket.receive())

    return app


def emmett55():
    from emmett55 import App, websocket

    app = App(__name__)

    @app.websocket("/ws")
    async def echo():
        await websocket.accept()
        while True:
            await websocket.send(await websocket.receive())

    return app
