"""One echoing WebSocket at ``/ws``, in each framework; two of them have a page at ``/``."""


def starlette():
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse
    from starlette.routing import Route, WebSocketRoute

    async def echo(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    def page(request):
        return HTMLResponse("<title>page</title>")

    return Starlette(routes=[Route("/", page), WebSocketRoute("/ws", echo)])


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


def channels():
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path

    def page(request):
        return HttpResponse("<title>page</title>")

    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=(path("", page),), SECRET_KEY="of no worth"
    )

    class Echo(AsyncWebsocketConsumer):
        async def receive(self, text_data=None, bytes_data=None):
            await self.send(text_data=text_data, bytes_data=bytes_data)

    http = get_asgi_application()
    return ProtocolTypeRouter({"http": http, "websocket": URLRouter([path("ws", Echo.as_asgi())])})


def emmett55():
    from emmett55 import App, websocket

    app = App(__name__)

    @app.websocket("/ws")
    async def echo():
        await websocket.accept()
        while True:
            await websocket.send(await websocket.receive())

    return app
