"""Tests of one module at a time, in memory: no process, no emulator. The folders are those of the sources."""
