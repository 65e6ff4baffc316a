#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "version=$(cat /version)"
echo "hostname=$(hostname)"
echo "client=$REMOTE_ADDR"
