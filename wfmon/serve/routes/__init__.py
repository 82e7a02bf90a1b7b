"""The routes: one file a topic. Each reads its request, asks one service, and writes the answer."""
