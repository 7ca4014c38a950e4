"""An agent on another machine: it is known to the testbed, sends its logs there, and is told of each STF that is ready.

    pip install ./client
    SWF_MONITOR_URL=http://testbed:8000 SWF_API_TOKEN=swf_... python agent.py

With `ACTIVEMQ_HOST` and the other variables of the broker it takes its messages from there; that needs stomp.py.
"""

import logging
import sys

from swf_client import Agent, Broker, ClientError

logger = logging.getLogger("example")


def main() -> None:
    with Agent("example", description="prints the STFs that are ready") as agent:
        ready = agent.events(["stf_ready"], broker=Broker.from_environment())
        for count, event in enumerate(ready, start=1):
            logger.info("%s is ready", event.data["filename"], extra={"run_id": event.data["run_id"]})
            agent.heartbeat.say(total_stf_processed=count)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    try:
        main()
    except ClientError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
