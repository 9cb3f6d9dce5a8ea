DROP TABLE new_devices;
