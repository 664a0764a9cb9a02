"""The Celery side: tasks over rows that are due. Any number of workers and beats is safe."""
