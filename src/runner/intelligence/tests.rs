mod chaos;
mod life;
mod platform;
mod stops;
