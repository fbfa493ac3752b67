"""Counts the IP packets that pass a device, until its stdin ends; then prints one line each and the count.

usage: capture.py DEVICE    prints "ready" first"""
import select
import socket
import sys

ETH_P_ALL = 3
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
sock.bind((sys.argv[1], 0))
seen = []
print("ready", flush=True)
while True:
    ready, _, _ = select.select([sock, sys.stdin], [], [])
    if sock in ready:
        frame = sock.recv(65535)
        if frame[12:14] == b"\x08\x00":  # IPv4; neighbour discovery and the like is the kernel's own
            seen.append(socket.inet_ntoa(frame[26:30]) + " > " + socket.inet_ntoa(frame[30:34]))
        elif frame[12:14] == b"\x86\xdd" and frame[20] != 58 and frame[20] != 0:
            seen.append("ipv6 " + frame[22:54].hex())
    elif sys.stdin in ready:
        break
for line in seen:
    print(line)
print("packets", len(seen))
