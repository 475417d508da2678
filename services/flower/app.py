"""The Celery app that Flower watches through: where the broker is, nothing of the application."""

import os
import ssl

import broker
from celery import Celery

broker.use()

url = os.environ["REDIS_URL"]
app = Celery("flower", broker=url)
app.conf.update(
    accept_content=["json"],
    # No pool: Flower's threads take two connections each for one question, and wait for ever for
    # the second where a pool has run out. Also idle it then holds 2 connections, not 19.
    broker_pool_limit=0,
    # A Redis that accepts and is silent is left and tried again.
    broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 5},
)
if url.startswith("rediss://"):
    # Heroku's certificate is self-signed.
    app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_NONE}
