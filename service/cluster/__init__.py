"""Running a task on Ray, or in this process: the only importer of ray."""
