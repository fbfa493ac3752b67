"""The python adapter: speaks the channel (base/frame.h of the platform) on descriptor 3. Standard library only;
what costs time to import (json, logging, traceback, threading, asyncio) is imported when it is needed."""
